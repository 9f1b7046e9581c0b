"""Leaves the heap of the snapshot so that a sandbox writes to few of its pages.

A sandbox maps the snapshot copy-on-write, so each page it writes to costs a page fault and 4 KB; these faults are
most of the time that a fresh sandbox takes. Two things write all over the snapshot, and both can be stopped:

- reference counts: every object that is there becomes immortal, so that using it no longer writes to it;
- new objects in free slots between old ones: the slots are filled with ballast that is never freed, so the first new
  objects of a sandbox stand side by side on fresh pages.
"""

import gc
import types

import _capsule_probe

_BLOCK_SIZES = range(32, 513, 16)  # the size classes of CPython's small object allocator; 16 holds ints
_BYTES_HEADER = 17  # of a bytes object on a 32-bit build, its final zero included
_LARGE = (65536, 32768, 16384, 8192, 4096, 2048, 1024, 768, 600)  # what is left for the C allocator
_RUN = 64  # neighbours in a row that count as fresh pages
_ballast = []


def settle():
    """Collect, make what is there immortal, fill the free slots. Call it last, before the snapshot is taken."""
    gc.collect()
    _immortalize_all()
    for size in _LARGE:
        _fill(size)
    _fill(16, int.__neg__)
    for size in _BLOCK_SIZES:
        _fill(size - _BYTES_HEADER)
    gc.collect()
    gc.freeze()


def _immortalize_all():
    found = gc.get_objects()
    own = {id(found)}
    seen = set()
    while found:
        thing = found.pop()
        if id(thing) in seen or id(thing) in own:
            continue
        seen.add(id(thing))
        found += gc.get_referents(thing)
        if isinstance(thing, types.CodeType):  # not a container to the collector
            found += (*thing.co_consts, *thing.co_names, *thing.co_varnames, thing.co_name, thing.co_qualname)
            found += (thing.co_consts, thing.co_names, thing.co_linetable, thing.co_exceptiontable, thing.co_filename)
        _capsule_probe.immortalize(thing)


def _fill(size, make=None):
    run, last = 0, 0
    for number in range(1000, 50_000):
        block = make(number) if make else bytes(size)
        _ballast.append(block)
        run = run + 1 if 0 < id(block) - last <= size + 64 else 0
        last = id(block)
        if run >= min(_RUN, max(4, 65536 // max(size, 1))):
            break

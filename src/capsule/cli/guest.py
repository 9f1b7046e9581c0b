"""`capsule setup` and `capsule cache`: the compiled guests of this machine."""

from __future__ import annotations

from pathlib import Path

from capsule import CapsuleError
from capsule.cache import files_of, keep_newest
from capsule.guest import cache_folder, cached_guests, clear_cache, ensure_guest, find_guest
from capsule.packages import cached_packages, clear_packages
from capsule.policy import format_size

from . import bundle, readings
from .interrupts import INTERRUPTS
from .run import FAILED, SUCCESS
from .screen import Phases, Screen


def setup() -> int:
    """Build what is missing; answers the exit status."""
    screen = Screen()
    try:
        with Phases(screen) as phases:
            INTERRUPTS.run(ensure_guest, phases)
    except CapsuleError as error:
        screen.error(str(error))
        return FAILED
    except KeyboardInterrupt:
        screen.error("interrupted; nothing was left half done")
        return INTERRUPTS.status
    if not phases.count:
        screen.note("capsule: the guest was ready already", "green")
    return SUCCESS


def show() -> int:
    """List what is in the cache; answers the exit status."""
    screen = Screen()
    screen.result(str(cache_folder()))
    try:
        found = find_guest()
        in_use = Path(found.file).parent if found else None
        rows = list(cached_guests())
        sets, size = cached_packages()
    except CapsuleError as error:
        screen.error(str(error))
        return FAILED
    if sets:
        screen.note(f"{_sets(sets)}, {format_size(size)}")
    for line in _own():
        screen.note(line)
    if not rows:
        screen.note("nothing is cached; `capsule setup` builds the guest")
        return SUCCESS
    from rich.console import Console
    from rich.table import Table

    table = Table("guest", "size", "made with", "state", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for folder, about in rows:
        if about is None:
            table.add_row(folder.name, "?", "?", "damaged; the next run builds it again")
            continue
        made = f"componentize-py {about.made_with.get('componentize-py', '?')}"
        table.add_row(folder.name, format_size(about.size), made, "in use" if folder == in_use else "of other versions")
    Console(soft_wrap=True).print(table)
    return SUCCESS


def clear() -> int:
    """Remove everything in the cache; answers the exit status."""
    screen = Screen()
    try:
        count, size = clear_cache()
        sets, more = clear_packages()
        own = _own()
        for start in _OWN.values():
            keep_newest(start, 0)
    except (CapsuleError, OSError) as error:
        screen.error(str(error))
        return FAILED
    screen.result(f"removed {count} compiled {'guest' if count == 1 else 'guests'}, {format_size(size)}")
    if sets:
        screen.result(f"removed {_sets(sets)}, {format_size(more)}")
    for line in own:
        screen.result(f"removed {line}")
    return SUCCESS


_OWN = {"the byte code of this command": bundle.PREFIX, "what programs declare": readings.PREFIX}
"""What the command keeps for itself, by what its files begin with."""


def _own() -> list[str]:
    stamps = {what: [*filter(None, map(bundle.stamp_of, files_of(start)))] for what, start in _OWN.items()}
    return [f"{what}, {format_size(sum(size for _, size in of))}" for what, of in stamps.items() if of]


def _sets(count: int) -> str:
    return f"{count} {'set' if count == 1 else 'sets'} of packages"

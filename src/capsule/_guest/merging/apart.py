"""A component and what its memory begins with, apart: where memories are used again, the engine puts that there."""

from __future__ import annotations

from . import component, module
from .binary import Reader, Unmergeable, section, sections

_MODULE, _DATA = 1, 11
_PAGE = 65536


def take_data_out(merged: bytes) -> tuple[bytes, bytes]:
    """A component without the data of its core modules, and that data as the first bytes of its one memory.

    Raises Unmergeable if there is data in more than one module, or none, or some that does not fit the memory.
    """
    kept, images = [], list[bytes]()
    for number, reader in sections(merged, component.PREAMBLE):
        content = reader.data[reader.at : reader.end]
        if number == _MODULE:
            content, image = _without_data(content)
            images += [image] if image else []
        kept.append(section(number, content))
    if len(images) != 1:
        raise Unmergeable(f"{len(images)} core modules with data")
    return component.PREAMBLE + b"".join(kept), images[0]


def _without_data(code: bytes) -> tuple[bytes, bytes]:
    limits, found = module.read_memory(code)
    if not found:
        return code, b""
    kept = [
        section(number, reader.data[reader.at : reader.end])
        for number, reader in sections(code, module.PREAMBLE)
        if number != _DATA
    ]
    return module.PREAMBLE + b"".join(kept), _image(limits, found)


def _image(limits: bytes, found: list[module.Data]) -> bytes:
    image = bytearray()
    for data in found:
        if data.offset.globals or data.offset.instruction:
            raise Unmergeable("data at a place that is not a constant")
        start = data.offset.base % 2**32
        image += bytes(max(0, start + len(data.content) - len(image)))
        image[start : start + len(data.content)] = data.content
    if len(image) > Reader(limits, 1).u32() * _PAGE:  # behind the flags: the least size
        raise Unmergeable("data behind the end of the memory")
    return bytes(image)

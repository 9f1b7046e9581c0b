"""`sys.stdout`, `sys.stderr` and `sys.stdin` without file descriptors: what is printed goes to the host at each line.

WASI's own streams are refused by the host (they would let a guest pile up memory and wait outside its limits).
"""

import codecs
import io
import os
import sys

from wit_world.imports import calls

_PIECE = 64 * 1024  # bytes handed over in one call, so that one `write` needs no large copy on the host


class _HostStream(io.RawIOBase):
    """Bytes in, text out to the host; a character split over two writes is put together first."""

    closed = False  # no property as in its parent: each flush asks three times, and there is one before each wait

    def __init__(self, number, name):
        self.number, self.name = number, name
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self):
        return True

    def close(self):
        try:
            super().close()
        finally:
            self.closed = True

    def write(self, data):
        view = bytes(data)
        for start in range(0, len(view), _PIECE):
            text = self.decoder.decode(view[start : start + _PIECE])
            if text:
                calls.write(self.number, text)
        return len(view)


def _text_stream(raw):
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding="utf-8", errors="backslashreplace", line_buffering=True)


def install():
    """Put the streams in place, and `os.write` to them. Input is at its end from the start."""
    streams = {1: _text_stream(_HostStream(1, "<stdout>")), 2: _text_stream(_HostStream(2, "<stderr>"))}
    sys.stdout = sys.__stdout__ = streams[1]
    sys.stderr = sys.__stderr__ = streams[2]
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    native = os.write

    def write(fd, data, /):
        if fd not in streams:
            return native(fd, data)
        written = streams[fd].buffer.write(data)
        streams[fd].buffer.flush()
        return written

    os.write = write

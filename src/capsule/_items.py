"""Items to be worked on, whatever they come from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import Any


async def each(items: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    """`items` one after another. Closing it closes an async generator, which was made for this loop."""
    if isinstance(items, AsyncGenerator):
        async with aclosing(items):  # it was made for this loop: nobody else would close it
            async for item in items:
                yield item
    elif isinstance(items, AsyncIterable):
        async for item in items:
            yield item
    else:
        for item in items:
            yield item

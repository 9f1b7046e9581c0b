"""Hostile programs that have all of their own memory: made byte code gives one to any guest that wants it.

What the host lays down in a guest's memory goes through the guest's own allocator, whose lists lie in that memory too.
Made into a ring they never end, at a moment in which the host cannot be called.
"""

from __future__ import annotations

import subprocess
import sys

import anyio
import pytest

from capsule import Policy, Runtime
from capsule._guest.cache import CompiledGuest

ALL_MEMORY = """
import dis

KEPT = []

def number(value):
    return (value & 0xFFFFFFFF).to_bytes(4, "little")

def all_memory():
    '''A bytearray over all there is: a constant is loaded that lies beyond the constants, and is one made of bytes.'''
    made = b"".join(map(number, (1 << 28, id(bytearray), 0x7FFFFFF0, 0x7FFFFFF1, 0, 0, 0)))
    place = number(id(made) + 16) * 4
    def load():
        return None
    constants = (None, 1.5, "x", [1].__len__)
    KEPT.extend((made, place, constants))
    index = ((id(place) + 16 - id(constants) - tuple.__basicsize__) // 4) % (1 << 30)
    code = bytes([dis.opmap["RESUME"], 0])
    for shift in (24, 16, 8):
        code += bytes([dis.opmap["EXTENDED_ARG"], index >> shift & 255])
    code += bytes([dis.opmap["LOAD_CONST"], index & 255, dis.opmap["RETURN_VALUE"], 0])
    load.__code__ = load.__code__.replace(co_code=code, co_consts=constants, co_stacksize=4)
    KEPT.append(load)
    return load()

def read(memory, place):
    return int.from_bytes(memory[place:place + 4], "little")

SIZE = 64_000

def free_chunk(memory):
    '''Where a large piece of the heap lies that is free, between others that are not.'''
    KEPT.extend((memory, [bytearray(SIZE) for _ in range(3)]))
    freed = bytearray(SIZE)
    KEPT.append([bytearray(SIZE) for _ in range(3)])
    place = read(memory, id(freed) + 16)
    del freed
    return place - 8
"""

READING = (
    ALL_MEMORY
    + """
def main():
    memory, text = all_memory(), bytearray(b"hello")
    place = read(memory, id(text) + 16)
    return bytes(memory[place:place + 5]).decode()
"""
)

FORGED = (
    ALL_MEMORY
    + """
from wit_world.imports import calls

def main(place, size):
    memory = all_memory()
    chunk = free_chunk(memory)
    state = read(memory, chunk + 24) - 4 * read(memory, chunk + 28) - 304
    calls.submit("nothing", "{}")
    forged = bytes(8) + number(size) + bytes(memory[state + 12:state + 20]) + number(place)
    memory[state:state + 24] = forged
    return str(calls.next(-1.0))[:100]
"""
)

TASK = (
    ALL_MEMORY
    + """
from wit_world.imports import calls

def main():
    memory = all_memory()
    chunk = free_chunk(memory)
    bins = read(memory, chunk + 24) - 4 * read(memory, chunk + 28)
    state = bins - 304
    ring = number(chunk) * 2
    calls.submit("nothing", "{}")
    memory[state + 4:state + 8] = number(1 << 15)
    memory[chunk + 16:chunk + 24] = ring
    memory[state:state + 4] = bytes(4)
    memory[state + 8:state + 12] = bytes(4)
    calls.next(-1.0)
"""
)

ACTOR = (
    ALL_MEMORY
    + """
from capsule import actor

@actor(compute="UNMETERED", ram="128MB", timeout="1s", on_failure="stop")
class Ring:
    def prepare(self):
        memory = all_memory()
        chunk = free_chunk(memory)
        memory[chunk + 16:chunk + 24] = number(chunk) * 2
    def length(self, text):
        return len(text)
"""
)


async def test_all_memory_is_to_be_had(write) -> None:
    """So that the others are not refused for another reason; when it ends, they need another way."""
    async with Runtime() as runtime:
        assert await runtime.run(write("reading.py", READING)) == "hello"


@pytest.mark.parametrize("size", [1 << 28, 1 << 12])
@pytest.mark.parametrize("place", [0xFFFFFF00, 0x7FFFFFF8, (29 << 20) + 3, 0x1000, 16, 0])
async def test_a_forged_place_for_an_answer(write, place: int, size: int) -> None:
    """Beyond the memory, or over what stands there: the sandbox alone ends, and nothing of the host's fails."""
    async with Runtime(policy=Policy(compute="UNMETERED", ram="64MB", timeout="1s")) as runtime:
        outcome = await (await runtime.spawn(write("forged.py", FORGED), place, size)).outcome()
        assert outcome.error is None or outcome.error.error_type != "internal_error", outcome.error
        assert await runtime.run(write("honest.py", "def main(): return 42")) == 42


@pytest.mark.parametrize("compute", ["LOW", "UNMETERED"])
async def test_a_ring_where_an_answer_is_laid_down(write, compute: str) -> None:
    """The task ends, with both carriers held by such tasks a neighbour is answered, and the runtime closes."""
    ring, honest = write("ring.py", TASK), write("honest.py", "def main(): return 42")
    with anyio.fail_after(20):
        async with Runtime(policy=Policy(compute=compute, ram="64MB", timeout="1s")) as runtime:
            refs = [await runtime.spawn(ring) for _ in range(3)]
            assert await runtime.run(honest) == 42
            for ref in refs:
                outcome = await ref.outcome()
                assert outcome.error is not None
                assert outcome.error.error_type in {"trap", "fuel_exhausted", "timeout"}, outcome.error


ASKING = """
import sys
import anyio
from capsule import Runtime, TaskFailed

async def main():
    async with Runtime() as runtime:
        ref = await runtime.spawn(sys.argv[1] + ":Ring")
        await ref.prepare()
        try:
            await ref.length("x" * 60_000)
        except TaskFailed as failed:
            print(failed.outcome.error.error_type)

anyio.run(main, backend=sys.argv[2])
"""


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_a_ring_where_an_argument_is_laid_down(write, guest: CompiledGuest, loop: str) -> None:
    """On the event loop itself, where the first slice of a message runs: the message fails, and the loop goes on."""
    command = [sys.executable, "-c", ASKING, write("ring.py", ACTOR), loop]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout in {"trap\n", "timeout\n"}

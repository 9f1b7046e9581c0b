"""Fibers: each has an error slot of its own, and nothing raises through a C callback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest

from capsule._backend import Flag, event_type
from capsule._engine.callbacks import LIVE
from capsule._engine.calls import CallQueue, Refused
from capsule._engine.carrier import Step
from capsule._engine.core import SandboxCore
from capsule._engine.engine import WasmEngine
from capsule._engine.fiber import Fiber
from capsule._engine.guest_state import GuestState
from capsule._engine.linker import CALLS
from capsule._engine.loaded import LoadedGuest
from capsule._engine.measure import measure_min_ram
from capsule._engine.meter import EPOCHS_HERE, FIRST_EPOCHS, FUEL_SLICE
from capsule._engine.output import Output
from capsule._engine.port import LoopPort
from capsule._engine.remover import Remover
from capsule._engine.sandbox import _CallJob
from capsule._engine.stack import accept_any_stack
from capsule._engine.store import GuestStore
from capsule._engine.values import TooLong
from capsule._guest.cache import CompiledGuest
from capsule.abc import Limits
from capsule.errors import SetupError
from capsule.testing import CONTRACT_SOURCE, RecordingListener
from engine.components import Call, calling, compiled, doing, engine_of

SUBMIT = calling(
    CALLS,
    "submit",
    Call(
        '(func (param "operation" string) (param "payload" string) (result u64))',
        "(param i32 i32 i32 i32) (result i64)",
        "(i32.const 0) (i32.const 1) (i32.const 0) (i32.const 1)",
    ),
)
"""A guest that submits one operation with a payload of one byte."""


def state_of(**limits: int) -> GuestState:
    """The host's side of a guest, without a listener."""
    held = Limits(**{"fuel": 10**9, "ram": 1 << 26, "max_output": 10, "max_message": 10, **limits})
    return GuestState(held, CallQueue(held, lambda *_: None, lambda *_: None), Output(0, lambda *_: None))


@contextmanager
def loaded(text: str, folder: Path) -> Iterator[LoadedGuest]:
    """A component, loaded without carriers: the test polls."""
    accept_any_stack()
    guest = LoadedGuest(compiled(text, folder))
    yield guest
    guest.close()


def instantiated(guest: LoadedGuest, state: GuestState) -> GuestStore:
    """A store whose instance is ready."""
    store = GuestStore(guest, state)
    fiber = store.instantiate()
    drive(fiber)
    assert fiber.take_error() is None
    fiber.close()
    return store


def drive(*fibers: Fiber) -> None:
    """Poll in turns until all have ended."""
    pending = list(fibers)
    while pending:
        pending = [fiber for fiber in pending if not fiber.poll()]


def test_errors_do_not_mix(tmp_path: Path) -> None:
    """Two guests that break different rules each end with their own error, in whatever order they are asked."""
    with loaded(SUBMIT, tmp_path) as guest:
        states = state_of(max_open_calls=0), state_of(max_message=0), state_of()
        stores = [instantiated(guest, state) for state in states]
        calls = [store.call("") for store in stores]
        drive(*reversed(calls))
        errors = [call.take_error() for call in calls]
        assert [type(state.host_error) for state in states] == [Refused, TooLong, type(None)]
        assert "more than 0 host calls" in (errors[0] or "")
        assert "max_message allows 0" in (errors[1] or "")
        assert (errors[2], calls[2].take_reply(10)) == (None, "")
        for thing in (*calls, *stores):
            thing.close()


async def test_errors_do_not_mix_on_carriers(tmp_path: Path) -> None:
    """The same with many guests at once on all carriers."""
    async with engine_of(SUBMIT, tmp_path) as engine:
        endings: dict[int, str] = {}

        async def call(number: int) -> None:
            limits = {"max_open_calls": 0} if number % 2 else {"max_message": 0}
            held = Limits(**{"fuel": 10**9, "ram": 1 << 26, "max_output": 0, "max_message": 10, **limits})
            sandbox = engine.open(held, RecordingListener())
            endings[number] = (await sandbox.call("", timeout=30, is_last=True)).message

        async with anyio.create_task_group() as tasks:
            for number in range(60):
                tasks.start_soon(call, number)
    assert {endings[number] for number in range(1, 60, 2)} == {"more than 0 host calls open at once"}
    assert {endings[number] for number in range(0, 60, 2)} == {"a text of 1 bytes; max_message allows 0"}


def test_an_error_is_taken_once(tmp_path: Path) -> None:
    """An error leaves its slot when it is taken; closing frees one that nobody took."""
    with loaded(doing("(unreachable)"), tmp_path) as guest:
        state = state_of()
        store = instantiated(guest, state)
        call = store.call("")
        drive(call)
        assert "unreachable" in (call.take_error() or "")
        assert call.take_error() is None
        call.close()
        store.close()


def test_dropped_in_the_middle(tmp_path: Path) -> None:
    """A busy guest comes back at each epoch and can be dropped between two polls, also twice."""
    with loaded(doing("(loop $again (br $again))"), tmp_path) as guest:
        state = state_of(fuel=10**15)
        store = instantiated(guest, state)
        call = store.call("")
        for _ in range(3):
            guest.tick()
            assert not call.poll()
        assert store.fuel_left() < 10**15
        call.close()
        call.close()
        store.close()
        store.close()
        with pytest.raises(ValueError, match="closed"):
            call.poll()
        assert state.number not in LIVE


async def sandbox_with(engine: WasmEngine, point: str, error: BaseException):
    """A sandbox of the Python guest whose host functions raise at one named point."""
    limits = Limits(fuel=10**10, ram=1 << 27, max_output=1000, max_message=100_000)
    sandbox = engine.open(limits, RecordingListener())

    def fail(*_: object) -> None:
        raise error

    state = sandbox._core.state
    holder = state.output if point == "write" else state.calls
    setattr(holder, point, fail)
    return sandbox


def request(function: str, *args: object) -> str:
    return json.dumps(
        {"program": {"path": "p.py", "source": CONTRACT_SOURCE}, "function": function, "call": [args, {}]}
    )


POINTS = {
    "submit": ("ask", "look", None),
    "cancel": ("ask_and_give_up", "a", "b"),
    "write": ("say", ["stdout", "hello"]),
    "begin_wait": ("rest", 0.01),
    "take": ("rest", 0.01),
}
"""Where the host is called back from C -> what the guest does to get there."""


@pytest.mark.parametrize(
    "error",
    [ValueError("secret"), KeyboardInterrupt("secret"), SystemExit("secret"), asyncio.CancelledError("secret")],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("point", POINTS)
async def test_whatever_a_callback_raises(point: str, error: BaseException, guest: CompiledGuest) -> None:
    """It ends that guest with "internal_error" and tells no text; other guests of the engine, and the process, go on."""
    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram) as engine:
        broken = await sandbox_with(engine, point, error)
        whole = await sandbox_with(engine, "nothing", error)
        ending = await broken.call(request(*POINTS[point]), timeout=30)
        assert (ending.reply, ending.error_type) == (None, "internal_error")
        assert ending.message == f"a host call failed: {type(error).__name__}"
        assert json.loads((await whole.call(request("rest", 0.001), timeout=30)).reply)["ok"] == "rested"


async def test_a_callback_that_finds_no_sandbox(guest: CompiledGuest) -> None:
    """A call back from a guest that nobody knows any more ends that guest."""
    async with WasmEngine(Path(guest.file), min_ram=guest.min_ram) as engine:
        for function, *args in (("ask", "look", None), ("rest", 0.01)):
            sandbox = await sandbox_with(engine, "nothing", ValueError())
            assert (await sandbox.call(request("echo"), timeout=30)).reply is not None
            LIVE.pop(sandbox._core.state.number)
            ending = await sandbox.call(request(function, *args), timeout=30)
            assert (ending.reply, ending.error_type) == (None, "internal_error")


def test_a_file_that_is_no_guest(tmp_path: Path) -> None:
    """What is not compiled by us, exports no handler or answers nonsense is refused with a reason."""
    file = tmp_path / "guest.cwasm"
    file.write_bytes(b"nonsense")
    with pytest.raises(SetupError, match="does not load"):
        LoadedGuest(file)
    with pytest.raises(SetupError, match="does not export"):
        LoadedGuest(compiled("(component)", tmp_path))
    with pytest.raises(SetupError, match="wrong answer"):
        measure_min_ram(compiled(doing(""), tmp_path))
    with pytest.raises(SetupError, match="does not start"):
        measure_min_ram(compiled(doing("(unreachable)"), tmp_path))


def slices_of(store: GuestStore, request: dict[str, object], reply: str) -> int:
    """In how many slices a call was answered, as `reply` begins. Closes the store."""
    slices, call = 1, store.call(json.dumps(request))
    while not call.poll():
        slices += 1
    assert call.take_reply(1000).startswith(reply)
    call.close()
    store.close()
    return slices


def test_filling_memory_is_interrupted(either: CompiledGuest) -> None:
    """A guest that fills much memory in one instruction of its own comes back when its slice is over."""
    loaded = LoadedGuest(Path(either.file))
    state = state_of(ram=1 << 28, max_message=1000)
    store = GuestStore(loaded, state)
    instance = store.instantiate()
    while not instance.poll():
        continue
    instance.close()
    source = "def main(): return len(b'x' * 100_000_000)"
    request = {"program": {"path": "a.py", "source": source}, "function": "main", "call": [[], {}]}
    store.meter.yield_after(1_000_000)
    assert slices_of(store, request, '{"ok":100000000') > 50  # a byte that is filled burns a unit
    loaded.close()


@pytest.mark.parametrize(
    ("prints", "slices", "is_here"),
    [
        *((FIRST_EPOCHS - 1, 1, False), (FIRST_EPOCHS, 2, False), (FIRST_EPOCHS + 2, 4, False)),
        *((EPOCHS_HERE - 1, 1, True), (EPOCHS_HERE, 2, True), (EPOCHS_HERE + 2, 4, True)),
    ],
)
def test_epochs_of_a_message(either: CompiledGuest, prints: int, slices: int, is_here: bool) -> None:
    """The first slice of a message takes more epochs than one, fewer on the event loop; each later one takes one."""
    loaded = LoadedGuest(Path(either.file))
    state = state_of(ram=1 << 28, max_message=1000, max_output=1000)
    state.output = Output(1000, lambda *_: loaded.tick())
    store = instantiated(loaded, state)
    for _ in range(20):
        loaded.tick()  # epochs that went by while it was idle
    store.meter.renew(10**9, is_here=is_here)
    store.meter.yield_after(FUEL_SLICE)  # fuel is not what ends it here
    source = (
        f"import sys\ndef main():\n for _ in range({prints}):\n  print(1, file=sys.stderr)\n  for _ in range(100): pass"
    )
    request = {"program": {"path": "a.py", "source": source}, "function": "main", "call": [[], {}]}
    assert slices_of(store, request, '{"ok":null') == slices
    loaded.close()


async def test_a_whole_slice_after_a_wait(either: CompiledGuest) -> None:
    """A guest that waited for a host call goes on and ends, however many epochs went by meanwhile."""
    loaded = LoadedGuest(Path(either.file))
    state = state_of(ram=1 << 28, max_message=1000, max_output=1000)
    core = SandboxCore(loaded, state.limits, state, Remover(), lambda: None)
    source = "from capsule_sdk import _wire\ndef main():\n return _wire.call('any', {})"
    request = {"program": {"path": "a.py", "source": source}, "function": "main", "call": [[], {}]}
    job = _CallJob(core, json.dumps(request), 60, True, LoopPort(), Flag(event_type()))
    while job.step() is not Step.WAITING:
        pass
    for _ in range(20):
        loaded.tick()
    state.calls.complete(1, '{"ok":7}')
    assert job.step() is Step.DONE
    await job.answered.wait()
    assert job.ending is not None
    assert str(job.ending.reply).startswith('{"ok":7')
    loaded.close()

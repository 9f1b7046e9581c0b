"""Each of wasmtime's error texts that we translate, provoked on the real engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from capsule._engine import traps
from capsule._engine.traps import classify
from engine.components import Call, calling, doing, ending_of

EXIT = calling("wasi:cli/exit@0.2.0", "exit", Call('(func (param "status" (result)))', "(param i32)", "(i32.const 1)"))

PROVOKED = {
    "fuel": (doing("(loop $again (br $again))"), "fuel_exhausted", "the task used up its fuel; `compute` limits it"),
    "stack": (doing("(call $f)", "(func $f (call $f))"), "stack_overflow", "the task's native stack is exhausted"),
    "exit": (EXIT, "trap", "the task ended its own process"),
    "memory": (doing("", "(memory 1100)"), "memory_exhausted", "the guest does not fit into its memory limit"),
    "unreachable": (doing("(unreachable)"), "trap", "the interpreter inside the sandbox aborted"),
    "division": (
        doing("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
        "trap",
        "the sandbox trapped: integer divide by zero",
    ),
    "out of bounds": (
        doing("(drop (i32.load (i32.const 65536)))", "(memory 1)"),
        "trap",
        "the sandbox trapped: out of bounds memory access",
    ),
    "null call": (
        doing("(call_indirect (i32.const 0))", "(table 1 funcref)"),
        "trap",
        "the sandbox trapped: uninitialized element",
    ),
}
"""What is done -> the guest that does it, and how it ends."""


@pytest.mark.parametrize("what", PROVOKED)
async def test_provoked(what: str, tmp_path: Path) -> None:
    """The error is known by its kind, and its message is one line without a path of the host."""
    text, kind, message = PROVOKED[what]
    ending = await ending_of(text, tmp_path, fuel=10**8)
    assert (ending.reply, ending.error_type) == (None, kind), ending.message
    assert ending.message.startswith(message)
    assert "\n" not in ending.message
    assert str(tmp_path) not in ending.message


def test_every_translation_is_provoked() -> None:
    """A new line in the table of texts needs a guest that provokes it."""
    provoked = [message for _, _, message in PROVOKED.values()]
    for _, _, message in traps._KNOWN:
        assert any(message.startswith(known) or known.startswith(message.format("")) for known in provoked), message


@pytest.mark.parametrize("text", ["something new", "one\n  two\nsomething new\n", "  something new  "])
def test_an_unknown_text(text: str) -> None:
    """What we have no word for is an internal error with wasmtime's last line."""
    assert classify(text) == ("internal_error", "the engine failed: something new")


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_no_text(text: str) -> None:
    """An error without a text is an internal error all the same."""
    assert classify(text) == ("internal_error", "the engine failed: no reason given")

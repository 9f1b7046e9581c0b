"""What a program can reach from what is wanted of it. A shared library exports all it has; the rest is left out."""

from __future__ import annotations

from .linking import OUTSIDE, Item, Program
from .module import FUNCTION, GLOBAL
from .walk import CALLS, Pairs, immediates, split

_REF_FUNC, _GLOBAL_SET = 0xD2, 0x24


class Reached:
    """The functions that `wanted` may run, split into pairs, and the globals that they assign.

    Whatever stands in a table counts as reached. Nothing writes a table later: `walk` refuses the instructions.
    """

    def __init__(self, program: Program, wanted: list[Item]) -> None:
        self.functions: dict[Item, Pairs] = {}
        self.outside: set[Item] = set()
        self.assigned: set[Item] = set()
        self._program = program
        self._waiting = [item for item in wanted if item.kind == FUNCTION]
        self._waiting += [function for segment in program.segments() for function in segment.functions]
        while self._waiting:
            self._visit(self._waiting.pop())

    def _visit(self, item: Item) -> None:
        if item.instance == OUTSIDE:
            self.outside.add(item)
        elif item not in self.functions:
            pairs = self.functions[item] = split(self._program.body_of(item))
            for instruction in {instruction for _, instruction in pairs if instruction}:
                self._follow(item.instance, instruction)

    def _follow(self, instance: int, instruction: bytes) -> None:
        operation = instruction[0]
        if operation in CALLS or operation == _REF_FUNC:
            self._waiting.append(self._program.find(instance, FUNCTION, *immediates(instruction)))
        elif operation == _GLOBAL_SET:
            self.assigned.add(self._program.find(instance, GLOBAL, *immediates(instruction)))

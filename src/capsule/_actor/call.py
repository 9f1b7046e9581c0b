"""What is said to a guest: one call of a task or a method, or one piece of code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from .._values import Program
from ..policy import Policy


class Call(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One call, ready to be sent as often as it takes."""

    program: Program
    name: str
    """What events and outcomes call it: "word_count", "Notes.add"."""

    policy: Policy
    body: str
    """The request without the program, the text for a guest that has loaded it: a JSON object, or for a message to an
    instance the list of method, arguments and named arguments.
    """

    def with_program(self, environment: Mapping[str, str], code: Sequence[str], *, is_last: bool) -> str:
        """The text for a fresh sandbox: a JSON object with the program too and what stands in `os.environ`, and
        behind it the sources, as they are, and the byte code of each if there is any (see `Codes.of`). A guest with
        folders is told whether it `is_last`, so that it closes what it has open there.

        `texts` says how long each is. In JSON, a guest would take longer to read them than to run most of them. The
        sources go along with the byte code all the same, for tracebacks and `inspect`.
        """
        program = self.program
        texts = [program.source, *(module.source for module in program.modules), *code]
        loaded: dict[str, object] = {"path": program.path, "texts": [len(text) for text in texts]}
        if program.package:
            loaded["package"] = program.package
        if program.modules:
            loaded["modules"] = [(module.name, module.path, module.is_package) for module in program.modules]
        if folders := {mount.guest: mount.mode for mount in self.policy.folders}:
            loaded["folders"] = folders
            loaded["is_last"] = is_last
        if environment:
            loaded["environment"] = environment
        if program.packages:
            loaded["packages"] = program.packages.names
        rest = self.body[1:] if self.body.startswith("{") else f'"message":{self.body}}}'
        return f'{{"program":{msgspec.json.encode(loaded).decode()},{rest}{"".join(texts)}'

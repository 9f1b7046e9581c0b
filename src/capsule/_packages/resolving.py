"""Which wheels a program needs: its own requirements, what these need, and so on, until nothing is missing.

One version of each package, the newest that everybody who needs it can live with. Conditions are asked of the sandbox
and not of the host, which pip would ask; and what a package needs is only ever looked up by its name. An older
version of a package is not tried because its newest is in conflict: pinning it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..errors import InvalidPackages, SetupError
from .pip import Wanted, download, versions
from .requirements import applies
from .wheel import Wheel, read_wheel

__all__ = ["resolve"]

MOST_PACKAGES = 200
MAX_TOTAL = 64 << 20
"""Bytes of all files of all packages, unpacked."""
MAX_ROUNDS = 30

Download = Callable[[Wanted, Path], list[Path]]


def resolve(requirements: Sequence[str], folder: Path, download: Download = download) -> list[Wheel]:
    """The wheels that meet `requirements` (as `parse_all` writes them), sorted by name; they are files in `folder`.

    Raises InvalidPackages, which names the package in the way and who asked for it, and SetupError.
    """
    roots = [Requirement(text) for text in requirements]
    chosen: dict[str, Wheel] = {}
    for number in range(MAX_ROUNDS):
        wanted, askers = _wanted(roots, chosen)
        missing = {name: asked for name, asked in wanted.items() if not _suits(chosen.get(name), asked)}
        if not missing:
            return _bounded([chosen[name] for name in sorted(wanted)])
        if len(wanted) > MOST_PACKAGES:
            raise InvalidPackages(f"more than {MOST_PACKAGES} packages are needed; ask for fewer")
        place = folder / str(number)
        place.mkdir()
        for wheel in _fetched(missing, askers, place, download):
            chosen[wheel.name] = wheel
    names = ", ".join(sorted(missing))
    raise InvalidPackages(f"no versions were found that fit together, at last for {names}; pin some of them with ==")


def _wanted(roots: list[Requirement], chosen: dict[str, Wheel]) -> tuple[Wanted, dict[str, list[str]]]:
    """What is needed with the wheels that are known, and for each name who asks for it, in words."""
    wanted: dict[str, list[Requirement]] = {}
    askers: dict[str, list[str]] = {}
    followed: dict[str, set[str]] = {}
    todo = [(root, "the program") for root in reversed(roots)]
    while todo:
        requirement, asker = todo.pop()
        name = canonicalize_name(requirement.name)
        wanted.setdefault(name, []).append(requirement)
        askers.setdefault(name, []).append(f"{name}{versions([requirement])} for {asker}")
        wheel = chosen.get(name)
        extras = {canonicalize_name(extra) for extra in requirement.extras}
        if wheel is None or (name in followed and extras <= followed[name]):
            continue
        before = followed.get(name)
        followed[name] = extras | (before or set())
        new = [need for need in wheel.needs if applies(need.marker, sorted(extras))]
        if before is not None:
            new = [need for need in new if not applies(need.marker, sorted(before))]
        todo.extend((_by_name(need, wheel), f"{name} {wheel.version}") for need in new)
    return {name: tuple(asked) for name, asked in wanted.items()}, askers


def _by_name(need: Requirement, wheel: Wheel) -> Requirement:
    if need.url is not None:
        raise InvalidPackages(
            f"{wheel.name} {wheel.version} asks for {need.name} by an address; packages come from the configured index",
            package=wheel.name,
        )
    return need


def _suits(wheel: Wheel | None, asked: Sequence[Requirement]) -> bool:
    return wheel is not None and all(each.specifier.contains(wheel.version, prereleases=True) for each in asked)


def _fetched(missing: Wanted, askers: dict[str, list[str]], place: Path, download: Download) -> list[Wheel]:
    try:
        wheels = [read_wheel(file) for file in download(missing, place)]
    except InvalidPackages as error:
        raise _with_askers(error, askers) from None
    if lost := sorted(missing.keys() - {wheel.name for wheel in wheels}):
        raise SetupError(f"pip answered without {', '.join(lost)}; update pip and try again")
    for wheel in wheels:
        if not _suits(wheel, missing.get(wheel.name, ())):
            raise SetupError(f"pip answered with {wheel.name} {wheel.version}, which was not asked for")
    return wheels


def _with_askers(error: InvalidPackages, askers: dict[str, list[str]]) -> InvalidPackages:
    """The same, with who needs the package, if that is not only the program."""
    who = sorted(set(askers.get(error.package or "", ())))
    if not who or (len(who) == 1 and who[0].endswith(" for the program")):
        return error
    shown = "; ".join(who[:5])
    return InvalidPackages(f"{error.reason} (asked for: {shown})", package=error.package)


def _bounded(wheels: list[Wheel]) -> list[Wheel]:
    total = sum(wheel.size for wheel in wheels)
    if total > MAX_TOTAL:
        largest = max(wheels, key=lambda wheel: wheel.size).name
        raise InvalidPackages(
            f"the packages have {total:,} bytes unpacked, {largest} most of them; the most is {MAX_TOTAL:,}"
        )
    return wheels

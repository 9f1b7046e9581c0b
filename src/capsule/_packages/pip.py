"""pip, asked for single wheels: no dependencies, no source distributions, and so no code of a package's own.

It is pip that knows the configured index, its credentials and certificates. Its environment and configuration are
used as they are; what it says is read for a reason and never passed on whole, for it may hold addresses of an index
with its passwords.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from ..errors import InvalidPackages, SetupError
from .requirements import in_order
from .wheel import NATIVE, WITH_FALLBACK

__all__ = ["Wanted", "download"]

PIP_TIMEOUT = 300.0
"""Seconds for one call of pip, which may fetch many wheels."""

_WHEELS = (
    *("--no-deps", "--no-input", "--no-color", "--disable-pip-version-check", "--progress-bar", "off"),
    *("--only-binary=:all:", "--python-version", "3.14"),
)
_PURE = ("--platform", "any", "--implementation", "py", "--abi", "none")
_NATIVE = (
    *(
        "--platform",
        "manylinux_2_28_x86_64",
        "--platform",
        "manylinux_2_17_x86_64",
        "--platform",
        "manylinux2014_x86_64",
    ),
    *("--implementation", "cp", "--abi", "cp314"),
)

_REASONS = {
    "requires a different Python": "has no release for Python 3.14, which the sandbox runs",
    "ERROR: Exception:": "cannot be used: pip cannot read what its wheel says of itself",
}
"""What pip says of a package that it has found, and what that means."""

Wanted = dict[str, tuple[Requirement, ...]]
"""What is asked for, by name: all the requirements that one version has to meet."""


def download(wanted: Wanted, folder: Path) -> list[Path]:
    """One wheel for each name, the newest that meets all that is asked of it, in `folder`, which is empty.

    Raises InvalidPackages, which names the package that is not to be had and why, and SetupError if there is no pip
    or if the index cannot be reached.
    """
    for kind, names in ((_PURE, wanted.keys() - WITH_FALLBACK), (_NATIVE, wanted.keys() & WITH_FALLBACK)):
        texts = {name: f"{name}{versions(wanted[name])}" for name in sorted(names)}
        if texts and _pip(["-q", "download", *_WHEELS, *kind, "-d", str(folder), *texts.values()], folder) is not None:
            for name, text in texts.items():  # which one, and why: asked alone, so that the answer is about it
                said = _pip(["-vv", "download", *_WHEELS, *kind, "-d", str(folder), text], folder)
                if said is not None:
                    raise _why(name, wanted[name], said)
            raise SetupError("pip failed to fetch the packages together and fetched each alone; try again")
    return sorted(folder.glob("*.whl"))


def versions(requirements: Sequence[Requirement]) -> str:
    """All the versions that `requirements` ask for, as one specifier."""
    return ",".join(sorted({in_order(each.specifier) for each in requirements} - {""}))


def _command() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-P", "-m", "pip"]
    uv = shutil.which("uv")
    if uv is None:
        raise SetupError(f"packages are fetched with pip, and {sys.executable} has none: install pip, or uv")
    return [uv, "tool", "run", "pip"]


def _pip(arguments: list[str], folder: Path) -> str | None:
    """Run pip in `folder`; what it said if it failed."""
    try:
        done = subprocess.run(
            [*_command(), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PIP_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise SetupError(f"pip did not end within {PIP_TIMEOUT:.0f} s; check the connection and try again") from None
    except OSError as error:
        raise SetupError(f"pip does not start: {error.strerror}") from None
    return None if done.returncode == 0 else (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")


def _why(name: str, requirements: Sequence[Requirement], said: str) -> InvalidPackages | SetupError:
    """What pip's account of its search says about `name`."""
    asked = versions(requirements)
    for words, reason in _REASONS.items():
        if words in said:
            return InvalidPackages(f"{name} {reason}", package=name)
    there = re.search(r"\(from versions: ([^)\n]*)\)", said)
    if there is None:
        last = next((line for line in reversed(said.splitlines()) if line.startswith("ERROR: ")), "")
        return SetupError(f"pip could not fetch {name}: {_without_addresses(last) or 'it did not say why'}")
    if there[1] not in ("none", ""):
        newest = ", ".join(there[1].split(", ")[-5:])
        reason = f"no version of {name} in pure Python is {asked}; there are {newest}"
        if _has_native(requirements, said):
            reason = f"{name} {asked} {NATIVE}; in pure Python there are only {newest}"
        return InvalidPackages(reason, package=name)
    if "none of the wheel's tags" in said:
        return InvalidPackages(f"{name} {NATIVE}", package=name)
    if f"No sources permitted for {name}" in said:
        reason = "has source distributions only, and building one would run its code on this machine"
        return InvalidPackages(f"{name} {reason}; use a package with a pure-Python wheel", package=name)
    return _why_nothing(name, said)


def _has_native(requirements: Sequence[Requirement], said: str) -> bool:
    """Whether pip passed over a wheel for other machines of a version that `requirements` ask for."""
    for file in re.findall(r"none of the wheel's tags [^\n]*?/([^/\s#]+\.whl)", said):
        try:
            version = parse_wheel_filename(file)[1]
        except InvalidWheelFilename:
            continue
        if all(each.specifier.contains(version, prereleases=True) for each in requirements):
            return True
    return False


def _why_nothing(name: str, said: str) -> InvalidPackages | SetupError:
    """What it says if pip saw nothing that it could have taken on another machine."""
    if re.search(r"requires a different python|Requires-Python", said, re.IGNORECASE):
        return InvalidPackages(f"{name} has no release for Python 3.14, which the sandbox runs", package=name)
    if re.search(r"Could not fetch URL (?!.*\b404\b)|Retrying \(Retry", said):
        return SetupError(f"the package index cannot be reached to look for {name}; check pip's configuration")
    return InvalidPackages(f"there is no package {name} in the index; check the name", package=name)


def _without_addresses(text: str) -> str:
    return re.sub(r"\b\w+://\S+|(?<!\w)/\S+", "...", text.removeprefix("ERROR: "))[:200]

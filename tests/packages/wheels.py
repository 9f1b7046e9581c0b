"""Tiny wheels made on the spot, and a pip that sees nothing else."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest


class Index:
    """A folder of distributions that pip is pointed at."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)

    def wheel(
        self,
        name: str,
        version: str = "1.0",
        *,
        files: dict[str, str | bytes] | None = None,
        needs: Sequence[str] = (),
        tag: str = "py3-none-any",
        python: str = "",
    ) -> Path:
        """Add a wheel; without `files` it has one module, called as it is, with its version."""
        module = name.replace("-", "_")
        about = f"{module}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {need}" for need in needs] + ([f"Requires-Python: {python}"] if python else [])
        members = {f"{module}.py": f"VERSION = {version!r}\n"} if files is None else files
        members = {
            f"{about}/METADATA": "\n".join(lines) + "\n",
            f"{about}/WHEEL": f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n",
            f"{about}/RECORD": "",
            **members,
        }
        file = self.folder / f"{module}-{version}-{tag}.whl"
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, content in members.items():
                archive.writestr(path, content)
        return file

    def sdist(self, name: str, version: str = "1.0", *, setup: str = "raise SystemExit(1)\n") -> Path:
        """Add a source distribution, whose set-up would run `setup`."""
        script = self.folder / "setup.py"
        script.write_text(setup, "utf-8")
        file = self.folder / f"{name}-{version}.tar.gz"
        with tarfile.open(file, "w:gz") as archive:
            archive.add(script, f"{name}-{version}/setup.py")
        script.unlink()
        return file

    def be_the_only_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let pip see nothing else."""
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.folder))
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")


@pytest.fixture
def index(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Index:
    """An empty index, which pip takes for the only one there is."""
    made = Index(tmp_path_factory.mktemp("index") / "wheels")
    made.be_the_only_one(monkeypatch)
    return made

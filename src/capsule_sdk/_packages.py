"""Imports of the program's packages: the host hands over one module at a time, as byte code that it keeps.

Asked after the standard library, so that no package stands in the place of one of its modules.
"""

import base64
import errno
import importlib.abc
import importlib.machinery
import importlib.util
import marshal
import sys
import zlib

from . import _package_files, _wire

ROOT = "/packages/"


def _ask(what, name, **more):
    return _wire.call("package", {what: name, **more}, lambda answer: ImportError(answer["message"]))


def _unreadable(answer):
    return OSError(errno.EIO, answer["message"])


class Packages(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads what the host has for this program."""

    def __init__(self):
        self.names = frozenset()
        self._ahead = {}  # what the host sent before it was asked for
        self._because_of = None  # the module that was asked for then

    def offer(self, names):
        """Make the modules below `names` importable, instead of those before."""
        for name in [name for name in sys.modules if name.partition(".")[0] in self.names] if self.names else ():
            if isinstance(getattr(sys.modules[name], "__loader__", None), Packages):
                del sys.modules[name]
        self.names = frozenset(names)
        self._ahead.clear()
        if self.names:
            _package_files.be_found(self)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.names:
            return None
        found = self._ahead.pop(name, None) or self._fetch(name)
        if found is None:
            return None
        file = ROOT + found["path"]
        spec = importlib.machinery.ModuleSpec(name, self, origin=file, is_package=found["is_package"])
        if found["is_package"]:
            spec.submodule_search_locations = [file.removesuffix("/__init__.py")]
        spec.has_location = "code" in found or "source" in found  # else it is a folder without __init__.py
        spec.loader_state = found
        return spec

    def _fetch(self, name):
        """With what it will import, if nothing of that kind is here."""
        if self._ahead:
            return _ask("module", name)
        found = _ask("module", name, ahead=True)
        if found is not None:
            self._ahead, self._because_of = found.pop("ahead"), name
        return found

    def exec_module(self, module):
        spec = module.__spec__
        found = spec.loader_state
        if found and "path" in found:
            spec.loader_state = None
        else:  # loaded again, or by a loader that keeps a state of its own there
            found = _ask("module", spec.name)
        try:
            if (code := self._code(found, spec.origin)) is not None:
                exec(code, module.__dict__)
        finally:
            if spec.name == self._because_of:  # what it imports while it is loaded, it has imported
                self._ahead.clear()

    def _code(self, found, file):
        if text := found.get("code"):
            return marshal.loads(zlib.decompress(base64.b64decode(text)))
        if "source" in found:
            return compile(base64.b64decode(found["source"]), file, "exec", dont_inherit=True)
        return None

    def get_code(self, name):
        found = _ask("module", name)
        if found is None:
            raise ImportError(f"no module named {name!r}", name=name)
        return self._code(found, ROOT + found["path"])

    def is_package(self, name):
        found = _ask("module", name)
        return bool(found) and found["is_package"]

    def get_filename(self, name):
        found = _ask("module", name)
        return ROOT + found["path"] if found else None

    def get_source(self, name):
        found = _ask("module", name)
        if found is None or not found["path"].endswith(".py"):
            return None
        return importlib.util.decode_source(self.get_data(ROOT + found["path"]))

    def get_data(self, path):
        """The bytes of a file of the packages: what `pkgutil.get_data` asks for."""
        found = _wire.call("package", {"file": str(path).removeprefix(ROOT)}, _unreadable)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "No such file in the packages", path)
        return base64.b64decode(found)

    def get_resource_reader(self, name):
        return _package_files.reader(name)

    def find_distributions(self, context):
        """For `importlib.metadata`."""
        return _package_files.distributions(self, context) if self.names else ()

    def listed(self, folder):
        """What is in a folder of the packages: names, each with its bytes or None for a folder. None if it is none."""
        return _ask("folder", folder)

    def size(self, path):
        """The bytes of a file of the packages; -1 for a folder, None if there is neither."""
        return _ask("status", path)


packages = Packages()

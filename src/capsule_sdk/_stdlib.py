"""The standard library, frozen into the snapshot as compressed byte code.

At run time a component sees only the modules that were imported while it was pre-initialised. This keeps all of
them at hand: an import works late, and costs nothing before it happens.
"""

import importlib.abc
import importlib.machinery
import marshal
import os
import sys
import types
import zlib

from . import _ready, not_here

LEFT_OUT = {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "__pycache__", "site-packages"}


class FrozenLibrary(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads what was frozen from `root`."""

    def __init__(self, root):
        self.modules = {}
        for folder, folders, files in os.walk(root):
            folders[:] = sorted(set(folders) - LEFT_OUT)
            parts = [part for part in os.path.relpath(folder, root).split("/") if part != "."]
            for file in sorted(files):
                if file.endswith(".py"):
                    self._freeze(parts, file, os.path.join(folder, file))

    def _freeze(self, parts, file, path):
        is_package = file == "__init__.py"
        name = ".".join(parts if is_package else [*parts, file[:-3]])
        try:
            with open(path, "rb") as source:
                code = compile(source.read(), path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return  # templates and test data of the library, which nothing imports
        self.modules[name] = (is_package, zlib.compress(marshal.dumps(code)), path)

    def find_spec(self, name, path=None, target=None):
        found = self.modules.get(name)
        return found and importlib.machinery.ModuleSpec(name, self, is_package=found[0], origin=found[2])

    def is_package(self, name):
        return self.modules[name][0]

    def get_code(self, name):
        return marshal.loads(zlib.decompress(self.modules[name][1]))

    def get_source(self, name):
        return None

    def exec_module(self, module):
        exec(self.get_code(module.__spec__.name), module.__dict__)
        _ready.mend(module)


class Reseeded(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Hands out the snapshot's `random`, seeded anew at its first import.

    The snapshot holds one state for every sandbox; without this all of them would draw the same numbers. Those
    who never import it pay nothing: to seed it takes longer than to load a small program.

    componentize-py imports `random` too, after the program that it builds, and calls its `seed` before the first
    request. So the first to ask gets a stand-in, which makes way when it is told to seed.
    """

    def __init__(self, prepared):
        self.prepared = prepared
        self.stand_in = types.ModuleType("random")
        self.stand_in.seed = self.make_way

    def find_spec(self, name, path=None, target=None):
        if name == "random" and self.prepared is not None:
            return importlib.machinery.ModuleSpec(name, self)
        return None

    def create_module(self, spec):
        if self.stand_in is not None:
            return self.stand_in
        return self.prepared

    def exec_module(self, module):
        if module is self.prepared:
            module.seed()
            self.prepared = None

    def make_way(self):
        """The first request is about to come: whoever imports `random` from now on gets it."""
        self.stand_in = None
        sys.modules.pop("random", None)


class Later(types.ModuleType):
    """Stands for `random` in the modules of the snapshot that imported it, so that they get it seeded, too."""

    def __getattr__(self, name):
        return getattr(importlib.import_module("random"), name)


class Missing(importlib.abc.MetaPathFinder):
    """Asked last: says why a module is not there instead of only that it is not."""

    def __init__(self, why):
        self.why = why

    def find_spec(self, name, path=None, target=None):
        package, _, last = name.rpartition(".")
        if package in ("capsule", __package__) and not last.startswith("_"):
            raise ImportError(not_here(last), name=name)
        reason = self.why(name) if "." not in name else None
        if reason:
            raise ModuleNotFoundError(f"no module named {name!r} in the sandbox: {reason}", name=name)


def install(packages, why):
    """Freeze the library of this interpreter and answer imports from it, and then from `packages`, a finder;
    `why(name)` explains a missing one.
    """
    sys.meta_path += [FrozenLibrary("/python"), packages, Missing(why)]


def hide_random():
    """Take `random` out of the snapshot's modules until a program imports it."""
    prepared, later = sys.modules.pop("random"), Later("random")
    for module in list(sys.modules.values()):
        for name, value in list(vars(module).items()):
            if value is prepared:
                setattr(module, name, later)
            elif getattr(value, "__self__", None) is prepared._inst:
                raise RuntimeError(f"{module.__name__}.{name} would draw the same numbers in every sandbox")
    sys.meta_path.insert(0, Reseeded(prepared))

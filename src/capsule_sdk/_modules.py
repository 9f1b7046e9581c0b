"""The application's modules that came along with the program, importable by their names.

They are asked for before the library, as a file of the application may hide a module of the library; what the
sandbox itself uses, `capsule` and `main` among it, cannot be hidden.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
import types

from . import _byte_code, _ready, _urllib3


class _Module:
    def __init__(self, name, path, is_package):
        self.name, self.path, self.is_package = name, path, is_package
        self.source = self.code = ""


class Shipped(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds and loads the modules of one program."""

    def __init__(self):
        self.modules = {}
        self.main_is = ""  # the module's name that the program itself has in the application, if a module imports it
        self.main = None

    def ship(self, modules, sources, codes, main):
        """Make `modules` importable instead of those before. One with the text of `main` is `main` itself.

        `codes` is byte code for each of them, if the host has any.
        """
        for name in self.modules:
            sys.modules.pop(name, None)
        self.modules, self.main_is, self.main = {}, "", None
        if not modules:
            return
        for number, about in enumerate(modules):
            module = _Module(*about)
            module.source = sources[number]
            if codes:
                module.code = codes[number]
            self._add(module, main)
        if self not in sys.meta_path:
            sys.meta_path.insert(sys.meta_path.index(_urllib3.finder) + 1, self)

    def _add(self, module, main):
        name = module.name
        if name == "main":
            return  # the program is called so already
        if not _ready.makes_way(name):
            raise ImportError(f"the application's module {name!r} would hide one that the sandbox has; rename it")
        self.modules[name] = module
        if (module.path, module.source) == (main.__file__, main.__loader__.source):
            self.main_is, self.main = name, main
            sys.modules[name] = main
            if module.is_package:
                main.__path__ = []

    def find(self, main, name):
        """What the host calls `name`: something of `main`, or "module:name" of a module."""
        module, _, last = name.rpartition(":")
        return getattr(importlib.import_module(module) if module else main, last)

    def find_spec(self, name, path=None, target=None):
        found = self.modules.get(name)
        if found is None:
            return None
        spec = importlib.machinery.ModuleSpec(name, self, origin=found.path, is_package=found.is_package)
        spec.has_location = True
        return spec

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        package, _, last = self.main_is.rpartition(".")
        if self.main_is and package == spec.name:  # nothing will load the program again and bind it here
            setattr(module, last, self.main)
        return module

    def is_package(self, name):
        return self.modules[name].is_package

    def get_source(self, name):
        return self.modules[name].source

    def get_code(self, name):
        module = self.modules[name]
        return _byte_code.code_of(module.code, module.source, module.path)


shipped = Shipped()

"""What is said about modules that the sandbox does not have."""

from __future__ import annotations

import ast
import inspect

import pytest

from capsule._guest import modules
from capsule._guest.modules import STANDARD, why_missing


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ssl", "no sockets or TLS"),
        ("_ssl", "no sockets or TLS"),
        ("ctypes", "native libraries"),
        ("mmap", "map files"),
        ("fcntl", "file locks"),
        ("curses", "no terminal"),
        ("bz2", "zlib"),
        ("_lzma", "zlib"),
        ("_multiprocessing", "call tasks from a task"),
        ("tkinter", "no screen"),
        ("winreg", "Windows"),
        ("cgi", "Python 3.13 removed it"),
        ("distutils", "Python 3.12 removed it"),
        ("numpy", "native code"),
        ("pandas.core.frame", "native code"),
        ("pydantic_core", "native code"),
        ("torch", "native code"),
        ("requests", "packages=[...]"),
        ("some_package_of_mine.part", "packages=[...]"),
    ],
)
def test_a_missing_module_has_one_line_that_says_why(name, words):
    """Each module that the sandbox lacks is explained in one line."""
    reason = why_missing(name)
    assert words in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    "name", ["json", "threading", "sqlite3", "multiprocessing", "dbm", "capsule", "capsule.testing", "main", "_private"]
)
def test_what_is_there_or_private_is_not_explained(name):
    """A module that the sandbox has, and a private one that libraries try for, get no reason."""
    assert why_missing(name) is None


def test_the_file_imports_nothing():
    """The file is copied into the guest as text, so it imports nothing and annotates nothing that needs evaluating."""
    tree = ast.parse(inspect.getsource(modules))
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_the_library_list_is_python_3_14():
    """The list of standard modules is that of the guest's Python, not of the host's."""
    assert {"annotationlib", "compression", "tomllib"} <= STANDARD
    assert not {"imp", "cgi", "asyncore"} & STANDARD

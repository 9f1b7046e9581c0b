"""Modules of the library that programs often import: imported before the snapshot is taken.

To import one of them takes 1 to 30 ms in each sandbox, where all else that a small task does takes one; to have it
there takes a tenth of a megabyte of the snapshot. A module of the application may still have the name of one, as a
file beside a program may outside.
"""

import importlib
import sys

from . import _sqlite

NAMES = """
argparse array calendar cmath configparser csv decimal difflib fractions glob graphlib gzip hmac html.parser
http.cookiejar http.cookies importlib.metadata importlib.resources mimetypes numbers pathlib pickle pkgutil platform
pprint queue sched secrets shlex sqlite3 statistics string.templatelib timeit tomllib unicodedata unittest uuid
xml.etree.ElementTree zipfile encodings.ascii encodings.cp1252 encodings.latin_1 encodings.utf_8_sig encodings.utf_16
""".split()
"""Not among them: what keeps something of its environment when it is imported (`zoneinfo`), and what few import."""

_came = set()


def prepare():
    """Import them all."""
    before = set(sys.modules)
    for name in NAMES:
        importlib.import_module(name)
    _came.update(set(sys.modules) - before)
    for name in ("uuid", "socket", "sqlite3.dbapi2", "sqlite3"):
        mend(sys.modules[name])


def mend(module):
    """What a module of the library that was just loaded needs, to work where it is."""
    match module.__name__:
        case "uuid":
            module._GETTERS.clear()  # they ask sockets for an address of this machine, which ends a sandbox
        case "socket":
            module.getfqdn = _name_of
        case "sqlite3" | "sqlite3.dbapi2":
            _sqlite.mend(module)


def _name_of(name=""):
    """`socket.getfqdn` as where nobody knows more of a name. The real one uses sockets, which ends a sandbox, where all
    that is wanted is an id for a message.
    """
    name = name.strip()
    return "localhost" if name in {"", "0.0.0.0", "::"} else name  # noqa: S104 - as CPython does


def makes_way(name):
    """Whether a module of the application may be called `name`; the library's own goes, and what is below it."""
    if name not in sys.modules:
        return True
    if name not in _came:
        return False
    for each in [each for each in sys.modules if each == name or each.startswith(f"{name}.")]:
        del sys.modules[each]
    return True

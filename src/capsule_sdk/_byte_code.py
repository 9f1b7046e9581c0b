"""Byte code as text: made in a sandbox that does nothing else, kept by the host, used by others instead of source."""

import ast
import base64
import binascii
import marshal
import warnings
import zlib

from . import _imported


def code_of(text, source, path):
    """The code of a module: what the host sent as `text` (quoted-printable) if it sent any, or else compiled here."""
    return marshal.loads(binascii.a2b_qp(text)) if text else compile(source, path, "exec", dont_inherit=True)


def of_program(files):
    """Byte code of each of `files` (path, source) for `code_of`; None for one that does not compile.

    None too for one that the compiler warns of, as each sandbox has to print that.
    """
    warnings.simplefilter("error")
    return [text_of(compiled(source, path)) for path, source in files]


def of_packages(files):
    """The same of (path, base64 of the source), compressed, as it is kept for long, each with the names of the modules
    that it loads first. Warnings are nobody's business.
    """
    warnings.simplefilter("ignore")
    return [_of_package(path, base64.b64decode(source)) for path, source in files]


def _of_package(path, source):
    code = compiled(source, path)
    if code is None:
        return None
    parts = path.removeprefix("/packages/").removesuffix(".py").split("/")
    tree = ast.parse(source)
    names = (name for node in _imported.run_first(tree) for name in _imported.names_of(node, ".".join(parts[:-1])))
    return text_of(code, zlib.compress), list(dict.fromkeys(_imported.with_packages(names)))


def compiled(source, path):
    try:
        return marshal.dumps(compile(source, path, "exec", dont_inherit=True))
    except (SyntaxError, ValueError, RecursionError, MemoryError, Warning):
        return None


def text_of(code, shorten=bytes):
    return None if code is None else base64.b64encode(shorten(code)).decode()

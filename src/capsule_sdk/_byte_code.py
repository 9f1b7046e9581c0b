"""Byte code as text: made in a sandbox that does nothing else, kept by the host, used by others instead of source."""

import base64
import binascii
import itertools
import marshal
import opcode
import types
import warnings
import zlib

MOST_CODE, MOST_NAMES, MOST_NAME = 64_000, 500, 200
"""Bytes of a module's own code that are looked through for imports, and how many names of what length are taken."""

_FUNCTION = 1  # CO_OPTIMIZED: the code of a function, and not of a class


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
    package = path.removeprefix("/packages/").rpartition("/")[0].replace("/", ".")
    names = (name for name in _imported(marshal.loads(code), package) if len(name) <= MOST_NAME)
    return text_of(code, zlib.compress), list(dict.fromkeys(itertools.islice(names, MOST_NAMES)))


def _imported(code, package):
    """The modules that a module imports while it is loaded, most likely."""
    todo = [code]
    while todo:
        code = todo.pop()
        todo += [each for each in code.co_consts if isinstance(each, types.CodeType) and not each.co_flags & _FUNCTION]
        for name, level, more in _import_statements(code):
            home = package.split(".")[: -level + 1 or None] if level and package else []
            whole = ".".join([*home, *([name] if name else [])])
            yield whole
            yield from (f"{whole}.{each}" for each in more or () if each != "*")


def _import_statements(code):
    """Name, level and what follows `import`, of each that is not for type checkers alone."""
    if len(code.co_code) > MOST_CODE:
        return
    arg = until = 0
    constants, is_for_checkers = (None, None), False
    for at, (number, low) in enumerate(itertools.batched(code.co_code, 2)):
        operation, arg = opcode.opname[number], arg << 8 | low
        if operation == "EXTENDED_ARG":
            continue
        if operation in ("LOAD_CONST", "LOAD_SMALL_INT"):
            constants = constants[1], code.co_consts[arg] if operation == "LOAD_CONST" else arg
        elif operation in ("LOAD_NAME", "LOAD_ATTR"):
            is_for_checkers = code.co_names[arg >> (operation == "LOAD_ATTR")] == "TYPE_CHECKING"
        elif operation == "POP_JUMP_IF_FALSE" and is_for_checkers:
            until = at + 2 + arg  # from behind this instruction, which takes two places
        elif operation == "IMPORT_NAME" and at >= until:
            yield code.co_names[arg], *constants
        arg = 0


def compiled(source, path):
    try:
        return marshal.dumps(compile(source, path, "exec", dont_inherit=True))
    except (SyntaxError, ValueError, RecursionError, MemoryError, Warning):
        return None


def text_of(code, shorten=bytes):
    return None if code is None else base64.b64encode(shorten(code)).decode()

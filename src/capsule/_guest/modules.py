"""Why a module is not there inside the sandbox. Imports nothing: its text is also copied into the guest.

What the guest's CPython 3.14 has and lacks was asked of the guest itself.
"""

__all__ = ["STANDARD", "why_missing"]

STANDARD = frozenset(
    """
    __future__ __main__ abc annotationlib antigravity argparse array ast asyncio atexit base64 bdb binascii bisect
    builtins bz2 cProfile calendar cmath cmd code codecs codeop collections colorsys compileall compression concurrent
    configparser contextlib contextvars copy copyreg csv ctypes curses dataclasses datetime dbm decimal difflib dis
    doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib
    functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html http idlelib imaplib
    importlib inspect io ipaddress itertools json keyword linecache locale logging lzma mailbox marshal math mimetypes
    mmap modulefinder msvcrt multiprocessing netrc nt ntpath nturl2path numbers opcode operator optparse os pathlib pdb
    pickle pickletools pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr
    pydoc pydoc_data pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select
    selectors shelve shlex shutil signal site smtplib socket socketserver sqlite3 sre_compile sre_constants sre_parse
    ssl stat statistics string stringprep struct subprocess symtable sys sysconfig syslog tabnanny tarfile tempfile
    termios textwrap this threading time timeit tkinter token tokenize tomllib trace traceback tracemalloc tty turtle
    turtledemo types typing unicodedata unittest urllib uuid venv warnings wave weakref webbrowser winreg winsound
    wsgiref xml xmlrpc zipapp zipfile zipimport zlib zoneinfo
    """.split()
)
"""The public modules of Python 3.14's standard library, whether or not the sandbox can import them."""

_OURS = frozenset({"capsule", "capsule_sdk", "componentize_py_runtime", "componentize_py_types", "main", "wit_world"})

_NO_PROCESSES = "a sandbox is one process with one thread; call tasks from a task to work in parallel"
_NO_TERMINAL = "a sandbox has no terminal; return values or print text instead"
_NO_USERS = "a sandbox has no users or groups of an operating system"
_WINDOWS = "it exists on Windows only, and a sandbox is not Windows"

_REASONS = {
    "ssl": "the sandbox has no sockets or TLS; fetch outside and pass the data to the task",
    "ctypes": "a sandbox cannot load native libraries; use code in Python",
    "mmap": "a sandbox cannot map files into memory; read them with open()",
    "fcntl": "a sandbox has no file locks or device controls",
    "resource": "a sandbox's limits are those of its policy, set by the host and not from inside",
    "syslog": "a sandbox has no system log; print the text instead",
    "bz2": "it is a native library that the sandbox's Python is built without; use zlib or gzip",
    "lzma": "it is a native library that the sandbox's Python is built without; use zlib or gzip",
    "zstd": "it is a native library that the sandbox's Python is built without; use zlib or gzip",
    "gdbm": "it is a native library that the sandbox's Python is built without; use sqlite3 or dbm.dumb",
    "dbm": "it is a native library that the sandbox's Python is built without; use sqlite3 or dbm.dumb",
    "multiprocessing": _NO_PROCESSES,
    "posixsubprocess": _NO_PROCESSES,
    "posixshmem": _NO_PROCESSES,
    "interpreters": _NO_PROCESSES,
    "curses": _NO_TERMINAL,
    "readline": _NO_TERMINAL,
    "termios": _NO_TERMINAL,
    "tty": _NO_TERMINAL,
    "pty": _NO_TERMINAL,
    "tkinter": "a sandbox has no screen; return the data and draw it outside",
    "turtle": "a sandbox has no screen; return the data and draw it outside",
    "turtledemo": "a sandbox has no screen; return the data and draw it outside",
    "idlelib": "a sandbox has no screen; return the data and draw it outside",
    "ensurepip": "packages cannot be installed inside a sandbox",
    "pip": "packages cannot be installed inside a sandbox",
    "pwd": _NO_USERS,
    "grp": _NO_USERS,
    "nt": _WINDOWS,
    "msvcrt": _WINDOWS,
    "winapi": _WINDOWS,
    "winreg": _WINDOWS,
    "winsound": _WINDOWS,
}

_PRESENT = frozenset({"dbm", "multiprocessing"})
"""Packages that import in the sandbox, although the native half that `_REASONS` names is missing."""

_NATIVE = frozenset(
    """
    aiohttp asyncpg bcrypt blake3 brotli cffi confluent_kafka cryptography cv2 cymem cython duckdb faiss frozenlist
    gevent google greenlet grpc h5py hiredis httptools igraph jax jaxlib jiter kiwisolver lightgbm llvmlite lxml
    matplotlib mlx msgpack msgspec multidict mypyc mysqlclient MySQLdb nacl netCDF4 numba numexpr numpy onnxruntime
    orjson pandas PIL polars propcache psutil psycopg2 psycopg_binary pyarrow pycurl pydantic pydantic_core pygame
    pymongo PyQt5 PyQt6 PySide6 ray rapidfuzz regex rpds scipy sentencepiece setproctitle shapely skimage sklearn spacy
    statsmodels tables tensorflow thinc tiktoken tokenizers torch torchaudio torchvision ujson uvloop wasmtime
    watchfiles wrapt xgboost xxhash yarl zmq zstandard
    """.split()
)
"""Import names of well-known packages that are native code or cannot work without it."""

_REMOVED = dict.fromkeys("asynchat asyncore distutils imp smtpd".split(), "3.12") | dict.fromkeys(
    """
    aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap msilib nis nntplib ossaudiodev pipes sndhdr spwd sunau
    telnetlib uu xdrlib
    """.split(),
    "3.13",
)


def why_missing(name: str) -> "str | None":
    """Why the sandbox does not have the module `name` (a dotted name counts as its package): one line.

    None if the sandbox has it, or if there is nothing to say (a private module).
    """
    package = name.partition(".")[0]
    if package in _OURS or package in _PRESENT:
        return None
    reason = _REASONS.get(package.removeprefix("_"))
    if reason or package in STANDARD or package.startswith("_"):
        return reason
    if package in _REMOVED:
        return f"Python {_REMOVED[package]} removed it from the standard library, and the sandbox runs Python 3.14"
    if package in _NATIVE:
        return (
            "it is native code, compiled for the host's machine, which a sandbox cannot run; "
            "use a package in pure Python, or do this part outside"
        )
    return (
        "the sandbox has the standard library, and the packages in pure Python that are asked for: "
        "packages=[...], or a block of script metadata in the file"
    )

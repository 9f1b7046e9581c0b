"""Which folders there are, and what to say to somebody whose program looked for a file or a variable that it was not
given. What may be done is decided by the host.
"""

import errno
import posixpath

from . import _packages

TEMPORARY = "/tmp"  # noqa: S108 - a name inside
folders = {}  # what a folder is called -> "ro" or "rw"

_ABSENT = (errno.ENOENT, errno.EPERM, errno.EACCES, errno.ENOTCAPABLE, errno.EBADF)
_READ_ONLY = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOTCAPABLE)


def hint(error):
    """Which line of a policy would have helped, or an empty text."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        return _of_file(posixpath.normpath(posixpath.join("/", error.filename)), error.errno)
    if type(error) is KeyError and _is_from_environ(error):
        return f"env_variables=[{_quoted(error.args[0])}] would show it to the task"
    return ""


def mode_of(path):
    """What may be done with a path in one of the folders, "ro" or "rw"; None for another."""
    return folders.get(_folder_of(path))


def _folder_of(path):
    found = [name for name in folders if path == name or path.startswith(name.rstrip("/") + "/")]
    return max(found, key=len, default=None)


def _of_file(path, number):
    if _packages.packages.names and path.startswith(_packages.ROOT):
        return "packages can only be read" if number in _READ_ONLY else ""
    name = _folder_of(path)
    if name is not None:
        if folders[name] == "ro" and number in _READ_ONLY:
            given = '{"path": ' + _quoted(_as_written(name)) + ', "mode": "read-write"}'
            return f"{name} can only be read; allowed_files=[{given}] would let the task write"
        return ""
    if number not in _ABSENT:
        return ""
    if path == TEMPORARY or path.startswith(TEMPORARY + "/"):
        return 'workspace="10MB" would give the task a folder at /tmp'
    top = _as_written(posixpath.dirname(path))
    return f"no folder was given that {path} is in; allowed_files=[{_quoted(top)}] would show that one to the task"


def _as_written(name):
    return "./" + name.lstrip("/")


def _quoted(text):
    return '"' + str(text)[:200] + '"'


def _is_from_environ(error):
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    code = trace and trace.tb_frame.f_code
    if not code or code.co_name != "__getitem__" or not error.args:
        return False
    return code.co_filename.endswith(("/os.py", "<frozen os>"))

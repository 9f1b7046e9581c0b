"""The folders of one sandbox, opened for it, and what is watched while it uses them.

WASI keeps a guest inside a folder that is open. What it does not do is done here: that the folder which is opened is
the one that was granted, that a guest leaves the host file descriptors and room on its disks, and that its workspace
stays within its limit. The last three are looked at after each slice, so a guest exceeds them by what it can do in
one; then it is ended.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .._mounts import WORKSPACE, Mount
from ..abc import Limits
from . import bindings as c
from . import descriptors, stuck
from .mappings import NoRoom
from .skeleton import Skeletons
from .workspace import Workspace

TOP = "/"
MOST_OPEN = 100
"""Files and folders that a sandbox may hold open."""

FEW_OPEN = 16
"""The same while the process has used up half of its descriptors."""

KEPT_FREE = 1 << 30
"""Bytes that guests leave free on a disk they can write to; on a small disk, a twentieth of it."""

MOST_STUCK = 2
"""How often a message may wait for a file that does not open or answer, such as a pipe, before it is ended."""


class CannotOpen(Exception):
    """A folder is not there any more, or not the one that was granted. The text names what the guest calls it."""


class Folders:
    """What one sandbox has of files. Made, used and closed on carriers. Raises CannotOpen and NoRoom."""

    def __init__(self, limits: Limits, wasi: c.Pointer, skeletons: Skeletons) -> None:
        self._mounts = limits.mounts
        self._workspace = None if limits.workspace is None else Workspace(limits.workspace)
        self._opened = 0  # descriptors that came while it ran, less those that went
        self._before = 0
        self._strikes = 0
        self.slice = stuck.Slice([mount.host for mount in limits.mounts])
        self._writable = [mount.host for mount in limits.mounts if mount.is_writable]
        try:
            for mount in limits.mounts:
                _preopen(wasi, mount)
            if self._workspace is not None:
                self._writable.append(self._workspace.path)
                _preopen(wasi, Mount(os.path.realpath(self._workspace.path), WORKSPACE, "rw"))
            self._add_top(wasi, skeletons)
        except BaseException:
            workspace = self.close()
            if workspace is not None:
                os.rmdir(workspace)
            raise

    def _add_top(self, wasi: c.Pointer, skeletons: Skeletons) -> None:
        names = [mount.guest for mount in self._mounts] + [WORKSPACE] * (self._workspace is not None)
        if TOP in names:
            return
        try:
            top = Mount(skeletons.of(names), TOP)
        except OSError as error:
            raise CannotOpen(f"there is no room for what a sandbox finds at /: {error.strerror}") from None
        _preopen(wasi, top)
        self._mounts = (*self._mounts, top)

    def begin_message(self) -> None:
        """A message may get stuck as often as the one before."""
        self._strikes = 0

    def begin_slice(self) -> None:
        """The guest is about to run."""
        self._before = descriptors.count()
        self.slice.begin()

    def end_slice(self) -> None:
        """The guest came back."""
        self._strikes += self.slice.end()
        self._opened += descriptors.count() - self._before

    def excess(self, *, is_over: bool) -> str | None:
        """What it has too much of, in the words of a refusal; None if that is nothing. `is_over`: it has answered."""
        if self._workspace is not None and self._workspace.is_full(now=is_over):
            return "more in /tmp than its workspace has room for is not allowed; a larger workspace would allow it"
        if self._strikes >= MOST_STUCK:
            return "waiting for a file that does not open or answer, such as a pipe or a device, is not allowed"
        if any(not _has_room(folder) for folder in self._writable):
            return "filling the disk is not allowed; more free space on it would allow it"
        most = FEW_OPEN if self._opened > FEW_OPEN and _is_process_short() else MOST_OPEN
        if self._opened > most and self._holds_more_than(most):
            return f"more than {most} open files are not allowed; closing some would allow it"
        return None

    def _holds_more_than(self, most: int) -> bool:
        """Looked at closely only where the count gives reason to: others of the process open files meanwhile."""
        roots = [mount.host for mount in self._mounts] + ([self._workspace.path] if self._workspace else [])
        held = descriptors.below([os.path.realpath(root) for root in roots])
        if held is not None and len(held) <= most:
            self._opened = len(held)
            return False
        return True

    def close(self) -> str | None:
        """After the store is gone. Answers the workspace's folder, if it has one: somebody must remove it."""
        workspace, self._workspace = self._workspace, None
        return None if workspace is None else workspace.path


def _preopen(wasi: c.Pointer, mount: Mount) -> None:
    """Give `wasi` the folder, if it is the one that was granted: with no link on the way to it."""
    are_spent = False
    try:
        if sys.platform == "linux" and os.path.isdir("/proc/self/fd"):
            folder = _open_folder(mount.host)
            try:
                is_open = _give(wasi, f"/proc/self/fd/{folder}", mount)
                are_spent = not is_open and descriptors.are_spent()  # before one of ours is free again
            finally:
                os.close(folder)
        else:
            # A path is all that other systems let wasmtime open: whoever replaces the folder in this very moment wins.
            is_open = os.path.realpath(mount.host) == mount.host and _give(wasi, mount.host, mount)
        stuck.refuse_special_files(mount.host)
    except (OSError, ValueError) as error:
        is_open, are_spent = False, descriptors.are_spent(error)
    if are_spent:
        raise NoRoom("the process has no file descriptor left for the folders of another sandbox; raise `ulimit -n`")
    if not is_open:
        raise CannotOpen(f"the folder {mount.guest} cannot be opened: it is gone, or was replaced since it was granted")


def _open_folder(path: str) -> int:
    folder = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    for part in Path(path).parts[1:]:
        outer = folder
        try:
            folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=outer)
        finally:
            os.close(outer)
    return folder


def _give(wasi: c.Pointer, path: str, mount: Mount) -> bool:
    return bool(c.wasi_preopen_dir(wasi, os.fsencode(path), mount.guest.encode(), mount.is_writable))


def _has_room(folder: str) -> bool:
    try:
        if sys.platform == "win32":
            import shutil

            usage = shutil.disk_usage(folder)
            return usage.free >= min(KEPT_FREE, usage.total // 20)
        disk = os.statvfs(folder)
    except OSError:
        return True  # the folder is gone: nothing can be written there
    has_files = not disk.f_files or disk.f_favail >= disk.f_files // 50
    return has_files and disk.f_bavail * disk.f_frsize >= min(KEPT_FREE, disk.f_blocks * disk.f_frsize // 20)


def _is_process_short() -> bool:
    if sys.platform == "win32":
        return False
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft != resource.RLIM_INFINITY and descriptors.count() > soft // 2

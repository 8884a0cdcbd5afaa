"""Disk images of machines: sparse ext4 files, mounted through a loop device."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path

from tfgrid_compose.drivers.process import run
from tfgrid_compose.errors import GridError

_MIB = 1024**2
_RELEASE = 15.0
_WRITE_BACK = 180.0
_SUPERBLOCK, _MAGIC = 1024, 0xEF53
# mkfs leaves a last group of blocks out that is too small to be one.
_SLACK = 32 * _MIB
# linux/fs.h: stop and allow writing to a mounted file system.
_FIFREEZE, _FITHAW = 0xC0045877, 0xC0045878


def mount(image: Path, target: Path, size_mib: int) -> None:
    """Mount an image, made on first use."""
    if not image.exists():
        partial = image.with_suffix(".new")
        partial.unlink(missing_ok=True)
        with partial.open("wb") as file:
            file.truncate(size_mib * _MIB)
        # A new sparse file reads as zeros, so neither inode tables nor journal need any written.
        lazy = "lazy_itable_init=1,lazy_journal_init=1,nodiscard"
        run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", lazy, str(partial)])
        partial.rename(image)
    target.mkdir(parents=True, exist_ok=True)
    if not target.is_mount():
        wait_for_release(image)
        if extend(image, size_mib):
            grow(image)
        run(["mount", "-o", "loop", str(image), str(target)])


def unmount(target: Path) -> None:
    """Unmount; the last processes of a machine that was just stopped may hold it for a moment."""
    deadline = time.monotonic() + _RELEASE
    while target.is_mount():
        if run(["umount", str(target)], check=False).ok:
            return
        if time.monotonic() > deadline:
            run(["umount", "-l", str(target)], check=False)
            return
        time.sleep(0.05)


def mounts_below(folder: Path) -> list[Path]:
    """Mount points of this host below a folder, the last mounted first."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    points = [Path(line.split()[1].replace("\\040", " ")) for line in lines]
    return [point for point in reversed(points) if folder in point.parents]


def wait_for_release(image: Path) -> None:
    """Wait until the kernel has written an image back: touched before, its file system would be damaged.

    The last reference to a mount goes with the machine's last process, and writing back takes its
    time on a busy disk. Raises `GridError` when it stays in use.
    """
    deadline = time.monotonic() + _WRITE_BACK
    while image.exists() and (locked(image) or run(["losetup", "-j", str(image)], check=False).stdout.strip()):
        if time.monotonic() > deadline:
            raise GridError(
                f"the disk {image} is still in use",
                why="a process on this computer holds it",
                fix=f"find it with `fuser -vm {image.parent}`, then run the command again",
                code="localgrid-disk-busy",
            )
        time.sleep(0.05)


def locked(path: Path) -> bool:
    """Whether a program that runs under `flock` with this file is at work, perhaps left by a killed command."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def extend(image: Path, size_mib: int) -> bool:
    """Make an image file as large as it shall be at least; whether its file system has to grow."""
    if not image.exists():
        return False
    with image.open("r+b") as file:
        if image.stat().st_size < size_mib * _MIB:
            file.truncate(size_mib * _MIB)
        file.seek(_SUPERBLOCK)
        return filesystem_size(file.read(1024)) + _SLACK < size_mib * _MIB


def filesystem_size(superblock: bytes) -> int:
    """Bytes of an ext4 file system, from its superblock; 0 when it is none."""
    blocks, log_size, magic = (int.from_bytes(superblock[at : at + size], "little") for at, size in ((4, 4), (24, 4), (56, 2)))
    high = int.from_bytes(superblock[0x150:0x154], "little")
    return ((high << 32) + blocks) << (10 + log_size) if magic == _MAGIC else 0


def grow_mounted(image: Path) -> bool:
    """Grow the filesystem of a mounted image; False where the kernel refuses."""
    for line in run(["losetup", "-j", str(image)]).stdout.splitlines():
        device = line.split(":")[0]
        run(["losetup", "-c", device])
        if not run(["resize2fs", device], check=False, timeout=300).ok:
            return False
    return True


def grow(image: Path) -> None:
    """Grow the file system of an image that is not mounted to the size of its file.

    The programs hold a lock on the image: they outlive a command that is killed.
    """
    run(["flock", str(image), "e2fsck", "-fp", str(image)], check=False, timeout=600)
    run(["flock", str(image), "resize2fs", str(image)], timeout=600)


def freeze(mounted: Path) -> None:
    """Write everything to the image and let every writer wait until `thaw`; a frozen one stays so."""
    _ioctl(mounted, _FIFREEZE, errno.EBUSY)


def thaw(mounted: Path) -> None:
    """Undo `freeze`; one that is not frozen is left alone."""
    _ioctl(mounted, _FITHAW, errno.EINVAL)


def flush(mounted: Path) -> None:
    """Write to the image what waits in memory."""
    run(["sync", "-f", str(mounted)], check=False)


def _ioctl(mounted: Path, request: int, accepted: int) -> None:
    descriptor = os.open(mounted, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(descriptor, request, 0)
    except OSError as error:
        if error.errno != accepted:
            raise
    finally:
        os.close(descriptor)


def allocated(image: Path) -> int:
    """Bytes that an image takes on the host's disk; 0 when it does not exist."""
    return image.stat().st_blocks * 512 if image.exists() else 0


def copy(source: Path, target: Path) -> None:
    """Copy an image with its holes; on a file system that can, nothing is copied but references.

    The target is a new file: a copy that a killed command has left at work writes to the old one.
    """
    target.unlink(missing_ok=True)
    run(["cp", "--reflink=auto", "--sparse=always", "--no-preserve=mode", str(source), str(target)], timeout=1800)


def sync(path: Path) -> None:
    """Return when a file or folder is on the host's disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

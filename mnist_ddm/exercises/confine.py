"""What a process may do that runs a student's file: limits that every system has, and walls where Linux allows them.

With walls the process sees the whole disk read-only, an empty folder in memory to write to, no network and no other
process, in namespaces of its own. An ordinary user can make those on most Linux systems; nothing here requires them.
"""

import contextlib
import ctypes
import math
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from mnist_ddm.storage.door import read_text

MEGABYTE = 2**20
WRITTEN_MOST = 64
"""Megabytes that a file of a confined process may have, and all of them together behind walls."""

_POLL_SECONDS = 0.02
_NEW_NAMESPACES = 0x10000000 | 0x00020000 | 0x20000000 | 0x40000000 | 0x08000000  # user, mount, pid, net, ipc
_RECURSIVE, _PRIVATE, _NO_SUID, _NO_DEVICES, _NO_PROGRAMS = 0x4000, 1 << 18, 2, 4, 8
_DIE_WITH_PARENT, _DROP_CAPABILITY, _NO_NEW_PRIVILEGES, _DUMPABLE = 1, 24, 38, 4
_MOUNT_SETATTR, _HERE, _BELOW_TOO, _READ_ONLY = 442, -100, 0x8000, 1


def limit_memory(megabytes: int) -> None:
    """Let this process take so much memory beyond what it has now, where the system can enforce that (Linux)."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_taken() + megabytes * MEGABYTE, hard))


@contextlib.contextmanager
def memory_of_a_judge(megabytes: int) -> Iterator[None]:
    """Inside the block this process cannot take much more memory than now, whatever it is asked to compute."""
    try:
        import resource

        before = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (_taken() + megabytes * MEGABYTE, before[1]))
    except (ImportError, OSError, ValueError):
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def _taken() -> int:
    import resource

    return int(read_text(Path("/proc/self/statm")).split()[0]) * resource.getpagesize()


def limit_time(seconds: float) -> None:
    """Let this process compute for so long from now on, where the system can enforce that (not on Windows).

    Time of the processor, not of the clock: a right answer must not fail because the machine is busy.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), hard))


def limit_files() -> None:
    """Let this process write small files alone, and no core."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (WRITTEN_MOST * MEGABYTE,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def out_of_reach() -> None:
    """Keep other processes of this user from reading or changing the memory of this one (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DUMPABLE, 0, 0, 0, 0)


def raise_walls(scratch: Path) -> bool:
    """Go on behind walls, where the system has them; returns whether that is so.

    The calling process must have one thread. It stays behind, waits for the one that goes on and ends as that does.

    Args:
        scratch: becomes an empty folder in memory, the only one that can be written.
    """
    if sys.platform != "linux":
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    user, group, parent = os.getuid(), os.getgid(), os.getppid()
    if libc.unshare(_NEW_NAMESPACES) != 0:
        return False
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
    except OSError:
        return False
    told, tell = os.pipe()
    first = os.fork()
    if first:
        _wait_outside(first, told, parent)
    # The first process of the namespace takes no signal but that of its end, so the student's file runs in a second.
    libc.prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    walled = _mount(libc, scratch)
    second = os.fork()
    if second:
        _, status = os.waitpid(second, 0)
        os.write(tell, status.to_bytes(4, "little"))
        os._exit(0)
    os.close(tell)
    os.close(told)
    os.chdir(scratch)
    os.environ |= {"TMPDIR": str(scratch), "MPLCONFIGDIR": str(scratch)}
    _drop_rights(libc)
    return walled


def _wait_outside(child: int, told: int, parent: int) -> None:
    """Wait for the process behind the walls, and end as the student's did, or with the judge."""
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if os.getppid() != parent:
            os.kill(child, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)
    os.set_blocking(told, False)
    try:
        status = int.from_bytes(os.read(told, 4), "little")
    except BlockingIOError:  # the first process was killed, and all others with it
        status = signal.SIGKILL
    if os.WIFSIGNALED(status):
        with contextlib.suppress(OSError):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
        time.sleep(1)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1)


def _mount(libc: ctypes.CDLL, scratch: Path) -> bool:
    """Make everything read-only but an empty folder; hide other processes."""

    def mount(kind: bytes, place: bytes, flags: int, more: bytes | None = None) -> bool:
        return bool(libc.mount(kind, place, kind, ctypes.c_ulong(flags), more) == 0)

    if libc.mount(None, b"/", None, ctypes.c_ulong(_RECURSIVE | _PRIVATE), None) != 0:
        return False
    attributes = (ctypes.c_uint64 * 4)(_READ_ONLY, 0, 0, 0)
    here, size = ctypes.c_long(_HERE), ctypes.c_size_t(ctypes.sizeof(attributes))
    number = ctypes.c_long(_MOUNT_SETATTR)
    whole = bool(libc.syscall(number, here, b"/", ctypes.c_uint(_BELOW_TOO), ctypes.byref(attributes), size) == 0)
    size_and_mode = f"size={WRITTEN_MOST}m,mode=700".encode()
    whole &= mount(b"tmpfs", os.fsencode(scratch), _NO_SUID | _NO_DEVICES, size_and_mode)
    mount(b"tmpfs", b"/dev/shm", _NO_SUID | _NO_DEVICES, size_and_mode)
    if not mount(b"proc", b"/proc", _NO_SUID | _NO_DEVICES | _NO_PROGRAMS):
        # Some containers forbid that; the names of other processes are worth nothing to a student.
        whole &= mount(b"tmpfs", b"/proc", _NO_SUID | _NO_DEVICES | _NO_PROGRAMS, b"size=4k,mode=500")
    return whole


def _drop_rights(libc: ctypes.CDLL) -> None:
    """Give up what the namespace gave, so that nothing can be mounted back."""
    for capability in range(64):
        libc.prctl(_DROP_CAPABILITY, capability, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    libc.capset(ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
    libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)

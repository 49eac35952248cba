"""Linux process controls through ctypes; elsewhere they do nothing or raise OSError."""

import ctypes
import os
import signal
import sys
from pathlib import Path

LINUX = sys.platform.startswith("linux")
_libc = ctypes.CDLL(None, use_errno=True) if LINUX else None

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_CHILD_SUBREAPER = 36
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CLONE_NEWUSER = 0x10000000
_CAP_DAC_OVERRIDE = 1
_CAP_VERSION_3 = 0x20080522


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    ]


def _fail(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, f"{what}: {os.strerror(code)}")


def die_with_parent(signum: signal.Signals, parent: int) -> None:
    """Ask the kernel for `signum` when the parent ends; call it last before exec.

    Every change of credentials clears the request, so identities come first.
    """
    if _libc is None:
        return
    _libc.prctl(_PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
    if os.getppid() != parent:  # the launcher died between fork and prctl
        os._exit(70)


def become_subreaper() -> bool:
    """Make orphaned descendants children of this process, so that none can get lost."""
    if _libc is None:
        return False
    return bool(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def enter_user_namespace(uid: int = 65534, gid: int = 65534) -> None:
    """See ourselves as `uid` while files we own stay ours; raises OSError where forbidden."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    if _libc is None:
        raise OSError("user namespaces exist on Linux only")
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        raise _fail("unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")


def become_user(uid: int, gid: int, *, reach_everything: bool = False) -> None:
    """Drop root for good; with `reach_everything` keep only the right to pass closed folders.

    That one capability (CAP_DAC_OVERRIDE, held by root in a default container, too) lets a server
    that refuses to be root work under a folder such as /root, whose mode stays as it is.
    """
    if reach_everything:
        if _libc is None:
            raise OSError("capabilities exist on Linux only")
        _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if reach_everything:
        _keep_only_dac_override()


def _keep_only_dac_override() -> None:
    assert _libc is not None
    bit = 1 << _CAP_DAC_OVERRIDE
    header = _CapHeader(_CAP_VERSION_3, 0)
    data = (_CapData * 2)(_CapData(bit, bit, bit), _CapData(0, 0, 0))
    if _libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise _fail("capset")
    if _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0) != 0:
        raise _fail("prctl(PR_CAP_AMBIENT)")


def start_ticks(pid: int) -> int | None:
    """When a process began, in kernel ticks: with the pid it names one process for ever."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def children_of(parent: int) -> list[int]:
    """Process ids whose parent is `parent`, zombies included; empty where /proc is missing."""
    found = []
    for entry in Path("/proc").glob("[0-9]*") if LINUX else ():
        fields = _stat_fields(int(entry.name))
        if fields and int(fields[1]) == parent:
            found.append(int(entry.name))
    return found


def has_in_environment(pid: int, name: str) -> bool:
    """Whether a process of ours was started with that variable."""
    try:
        return f"\0{name}=".encode() in b"\0" + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: the command name may hold anything."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()

"""As whom PostgreSQL runs: it refuses to be root, and nothing on the machine may be changed for it.

No account is made and no folder's mode is touched: a checkout under /root stays closed.
"""

import os
import pwd
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from launcher import linux
from launcher.errors import LauncherError

Kind = Literal["same", "user", "namespace", "capability"]
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True, kw_only=True)
class ServerIdentity:
    """A way to be somebody else than root."""

    kind: Kind
    uid: int = 65534
    gid: int = 65534
    account: str = ""

    def enter(self) -> None:
        """Become it; in the child, before exec. Raises OSError where the system forbids it."""
        if self.kind == "namespace":
            linux.enter_user_namespace(self.uid, self.gid)
        elif self.kind != "same":
            linux.become_user(self.uid, self.gid, reach_everything=self.kind == "capability")

    @property
    def owner(self) -> tuple[int, int] | None:
        """To whom files for the server must be given, where that is not us."""
        return (self.uid, self.gid) if self.kind in ("user", "capability") else None

    def __str__(self) -> str:
        return {
            "same": "ourselves",
            "user": f"user {self.account}",
            "namespace": "a user namespace",
            "capability": f"user {self.account} with access to closed folders",
        }[self.kind]


def choose(binaries: Path, cluster: Path) -> ServerIdentity:
    """The first identity that can run `binaries` on `cluster`; raises LauncherError if none can.

    `cluster` need not exist yet; where it does, whoever owns it must run it.
    """
    owner = cluster.stat().st_uid if cluster.exists() else None
    me = os.geteuid()
    if me != 0:
        if owner not in (None, me):
            raise LauncherError(
                f"{cluster} belongs to {_name(owner)}, and you are {_name(me)}. Start as "
                f"{_name(owner)}, or choose another SLIPWAY_DATA_DIR."
            )
        return ServerIdentity(kind="same")
    tried = []
    for identity in _candidates(owner):
        if _can_run(identity, binaries, cluster):
            return identity
        tried.append(str(identity))
    raise LauncherError(
        f"PostgreSQL does not run as root, and none of these can reach {binaries} and "
        f"{cluster.parent}: {', '.join(tried)}. Start as an ordinary user, move the checkout or "
        "SLIPWAY_DATA_DIR out of closed folders, or set DATABASE_URL to a server of your own."
    )


def _candidates(owner: int | None) -> Iterator[ServerIdentity]:
    accounts = _accounts() if owner is None else [_account(owner)] if owner else []
    for account in accounts:
        yield _as_user("user", account)
    if owner in (None, 0):
        yield ServerIdentity(kind="namespace")
    for account in accounts:
        yield _as_user("capability", account)


def _as_user(kind: Kind, account: tuple[str, int, int]) -> ServerIdentity:
    name, uid, gid = account
    return ServerIdentity(kind=kind, uid=uid, gid=gid, account=name)


def _accounts() -> list[tuple[str, int, int]]:
    found = []
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        found.append((name, entry.pw_uid, entry.pw_gid))
    return found


def _account(uid: int) -> tuple[str, int, int]:
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return str(uid), uid, uid
    return entry.pw_name, uid, entry.pw_gid


def _name(uid: int | None) -> str:
    return _account(uid)[0] if uid is not None else "nobody"


def _can_run(identity: ServerIdentity, binaries: Path, cluster: Path) -> bool:
    """Try it in a forked child: access rights are the kernel's to answer."""
    needed: Sequence[tuple[Path, int]] = [
        (binaries / "postgres", os.R_OK | os.X_OK),
        (binaries.parent / "share", os.R_OK | os.X_OK),
        (cluster.parent, os.X_OK),
    ]
    if cluster.exists():
        needed = [*needed, (cluster, os.R_OK | os.W_OK | os.X_OK)]
    pid = os.fork()
    if pid == 0:
        try:
            identity.enter()
            fine = os.geteuid() != 0 and all(
                os.access(path, mode, effective_ids=True) for path, mode in needed
            )
            os._exit(0 if fine else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

"""Keys of callers, in memory by digest; the database is asked for unknown ones, many at once."""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from console.access.browser_tokens import PREFIX as BROWSER_PREFIX
from console.access.browser_tokens import BrowserClaim, browser_claim

#: Not worth a look-up unless it could be one of ours.
_TOKEN = re.compile(rb"slip_[A-Za-z0-9_-]{20,80}")
_BROWSER = re.compile(rb"page_[A-Za-z0-9_:-]{20,400}")
UNKNOWN_S = 1.0
#: A database that hangs must not keep callers hanging.
LOOK_UP_S = 5.0
FORGET_S = 600.0
#: Entries kept of each sort, known and unknown.
SIZE = 10_000


@dataclass(slots=True)
class Key:
    """Who calls, and what for. `teams` None means all."""

    user_id: int
    prefix: str
    scopes: frozenset[str]
    teams: frozenset[int] | None
    expires_at: float
    token_id: int | None = None
    #: For whom is computed: shares are counted and prefixes kept apart by it.
    tenant: str = ""
    seen: float = field(default_factory=time.monotonic)

    def may_ask(self, team_id: int) -> bool:
        """Whether this key's owner has a role in the team."""
        return self.teams is None or team_id in self.teams


@dataclass(frozen=True, slots=True)
class Asked:
    """A key that the database is asked about: by digest, or by the claim that we have signed."""

    digest: str
    claim: BrowserClaim | None


Load = Callable[[Sequence[Asked]], Awaitable[dict[str, Key]]]


class Keys:
    """All keys in use."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._known: dict[str, tuple[Asked, Key]] = {}
        self._unknown: dict[str, float] = {}
        self._waiting: dict[Asked, asyncio.Future[Key | None]] = {}
        self._lookup: asyncio.Task[None] | None = None
        self._used: set[int] = set()

    async def find(self, authorization: bytes | None) -> Key | None:
        """The key in an Authorization header, or None. Raises DatabaseError, TimeoutError."""
        if authorization is None or authorization[:7].lower() != b"bearer ":
            return None
        secret = authorization[7:].strip()
        digest = hashlib.sha256(secret).hexdigest()
        known = self._known.get(digest)
        if known is not None:
            return self._use(known[1])
        if self._unknown.get(digest, 0.0) > time.monotonic():
            return None
        asked = _asked(secret, digest)
        return None if asked is None else self._use(await self._ask(asked))

    def _use(self, key: Key | None) -> Key | None:
        if key is None or key.expires_at <= time.time():
            return None
        key.seen = time.monotonic()
        if key.token_id is not None:
            self._used.add(key.token_id)
        return key

    async def _ask(self, asked: Asked) -> Key | None:
        future = self._waiting.get(asked)
        if future is None:
            future = self._waiting[asked] = asyncio.get_running_loop().create_future()
        if self._lookup is None or self._lookup.done():
            self._lookup = asyncio.create_task(self._look_up())
        async with asyncio.timeout(LOOK_UP_S):
            # Shielded: a caller that leaves must not take the answer from the others.
            return await asyncio.shield(future)

    async def _look_up(self) -> None:
        """Ask for all that wait, again while more have come: a flood costs few queries."""
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            try:
                found = await self._load(list(waiting))
            except Exception as error:
                for future in waiting.values():
                    future.set_exception(error)
                    future.exception()  # seen, even if every caller has left
                continue
            for asked, future in waiting.items():
                key = found.get(asked.digest)
                self._remember(asked, key)
                future.set_result(key)

    def _remember(self, asked: Asked, key: Key | None) -> None:
        if key is not None:
            self._known[asked.digest] = (asked, key)
            return
        if len(self._unknown) >= SIZE:
            self._unknown.clear()
        self._unknown[asked.digest] = time.monotonic() + UNKNOWN_S

    def asked(self) -> list[Asked]:
        """The keys to refresh: those used lately. The others are forgotten."""
        oldest = time.monotonic() - FORGET_S
        for digest in [d for d, (_, key) in self._known.items() if key.seen < oldest]:
            del self._known[digest]
        if len(self._known) > SIZE:
            newest = sorted(self._known.items(), key=lambda item: item[1][1].seen)[-SIZE:]
            self._known = dict(newest)
        return [asked for asked, _ in self._known.values()]

    def apply(self, asked: Sequence[Asked], fresh: dict[str, Key]) -> None:
        """Take over what the database says of `asked` now; what it does not know is gone."""
        self._unknown.clear()
        for item in asked:
            known = self._known.pop(item.digest, None)
            key = fresh.get(item.digest)
            if known is not None and key is not None:
                key.seen = known[1].seen
                self._known[item.digest] = (item, key)

    def take_used(self) -> set[int]:
        """Ids of tokens used since the last call."""
        used, self._used = self._used, set()
        return used


def _asked(secret: bytes, digest: str) -> Asked | None:
    if _TOKEN.fullmatch(secret):
        return Asked(digest, None)
    if secret.startswith(BROWSER_PREFIX.encode()) and _BROWSER.fullmatch(secret):
        claim = browser_claim(secret.decode("ascii"))
        return Asked(digest, claim) if claim else None
    return None

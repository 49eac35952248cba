"""How this machine becomes a node: one request with a token, and what it keeps afterwards."""

import base64
import http.client
import json
import os
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from launcher.child import PROJECT
from launcher.errors import LauncherError
from launcher.state import read_json, write_private_json

PROTOCOL = 1
TIMEOUT_S = 20
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


class Unreachable(LauncherError):
    """Nobody answers there now."""


class Refused(LauncherError):
    """The console does not know this node (any more)."""


@dataclass(frozen=True, kw_only=True)
class Membership:
    """What `<data>/node.json` holds: the console, our name and secret, and its servers."""

    console: str
    name: str
    secret: str = field(repr=False)
    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    replica_key: str = field(repr=False)

    def save(self, data_dir: Path) -> None:
        """Keep it, readable by its owner only."""
        write_private_json(node_file(data_dir), asdict(self))


def node_file(data_dir: Path) -> Path:
    """Where a node keeps what it needs to start again."""
    return data_dir / "node.json"


def load(data_dir: Path) -> Membership | None:
    """What was kept, or None on a machine that has not joined."""
    known = read_json(node_file(data_dir))
    if not known:
        return None
    try:
        return Membership(**{name: str(known[name]) for name in Membership.__dataclass_fields__})
    except KeyError as error:
        raise LauncherError(
            f"{node_file(data_dir)} lacks {error}. Remove it and join again with a new token."
        ) from None


def join(console: str, token: str, name: str) -> Membership:
    """Spend a token; raises LauncherError with the reason and the remedy."""
    url = clean_url(console)
    got = _post(url, "join", {**_checkout(), "token": token, "name": clean_name(name)})
    return _membership(url, {**got, "secret": got.get("secret")})


def renew(member: Membership) -> Membership:
    """Addresses as they are now. Raises Unreachable or Refused, or LauncherError for the rest."""
    known = base64.b64encode(f"{member.name}:{member.secret}".encode()).decode()
    got = _post(member.console, "access", _checkout(), {"Authorization": f"Basic {known}"})
    return _membership(member.console, {**got, "secret": member.secret})


def require_servers(member: Membership) -> None:
    """Unreachable unless a connection to the database and to Redis can be made from here."""
    servers = (("database", member.database_url, 5432), ("Redis", member.redis_url, 6379))
    for what, url, usual in servers:
        parts = urlsplit(url)
        place = (parts.hostname or "", parts.port or usual)
        try:
            socket.create_connection(place, timeout=5).close()
        except OSError as error:
            raise Unreachable(
                f"The {what} at {place[0]}:{place[1]} cannot be reached from here: {error}. "
                "Open that port on its machine (or its firewall) for this one."
            ) from error


def own_address(console: str) -> str:
    """The address of this machine on the way to the console; model servers listen there."""
    parts = urlsplit(console)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for family, kind, protocol, _, place in socket.getaddrinfo(
        parts.hostname, port, type=socket.SOCK_DGRAM
    ):
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.connect(place)  # sends nothing: the system only chooses the way
                return str(probe.getsockname()[0])
        except OSError:
            continue
    return "127.0.0.1"


def clean_url(text: str) -> str:
    """The console's address without a path, or LauncherError."""
    text = text.strip()
    parts = urlsplit(text if "://" in text else f"http://{text}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LauncherError(f"{text!r} is no address of a console. Write http://host:8000")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def clean_name(text: str) -> str:
    """A host name as a node may be called."""
    return _NOT_IN_NAMES.sub("-", text).strip("-._")[:60] or "node"


def _membership(console: str, got: Mapping[str, Any]) -> Membership:
    names = ("name", "secret", "database_url", "redis_url", "replica_key")
    if any(not isinstance(got.get(name), str) for name in names):
        raise LauncherError(
            f"{console} answers in a way that this checkout does not know. Update the older one "
            "of the two."
        )
    return Membership(console=console, **{name: got[name] for name in names})


def _checkout() -> dict[str, Any]:
    """What we speak and which tables we know: the newest migration of each app."""
    newest: dict[str, str] = {}
    for path in sorted(PROJECT.glob("*/*/migrations/[0-9]*.py")):
        newest[path.parent.parent.name] = path.stem
    return {"protocol": PROTOCOL, "migrations": newest}


def _post(
    console: str, call: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    request = urllib.request.Request(
        f"{console}/api/v1/nodes/{call}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with _opener().open(request, timeout=TIMEOUT_S) as answer:
            value = json.load(answer)
    except urllib.error.HTTPError as error:
        raise _refusal(console, error) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise Unreachable(
            f"No console answers at {console}: {why}. Check the address, and that the console "
            "listens on one that this machine reaches (SLIPWAY_HOST there)."
        ) from error
    return value if isinstance(value, dict) else {}


def _refusal(console: str, error: urllib.error.HTTPError) -> LauncherError:
    try:
        said = str(json.load(error).get("detail", ""))
    except (OSError, ValueError, AttributeError):
        said = ""
    if error.code in (301, 302, 303, 307, 308):
        return LauncherError(f"{console} sends us to {error.headers.get('Location')}: use that.")
    if error.code in (404, 405) or (error.code == 403 and not said):
        return LauncherError(f"What answers at {console} is no console, or one too old for this.")
    if error.code == 401:
        return Refused(said or "The console refuses us.")
    if error.code == 400 and not said:
        return LauncherError(
            f"The console at {console} does not answer to this name. Add it to "
            "SLIPWAY_ALLOWED_HOSTS there, or set SLIPWAY_CLUSTER_HOST."
        )
    if error.code >= 500 or error.code == 429:
        return Unreachable(f"{console} answers {error.code}: {said or 'try again later'}")
    return LauncherError(said or f"{console} answers {error.code}.")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token must not be carried to where nobody meant it to go."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener() -> urllib.request.OpenerDirector:
    # No proxies from the environment: a console is a neighbour, and proxies keep what they carry.
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


def wanted_name() -> str:
    """What this machine would like to be called."""
    return os.environ.get("SLIPWAY_NODE") or socket.gethostname()

"""What the benchmarks of logs need: a database of its own, a job that is held, a web process."""

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
NAME = "slipway_bench_logs"


@contextlib.contextmanager
def database() -> Iterator[None]:
    """A fresh database beside that of DATABASE_URL, with tables; Django is set up on it."""
    import psycopg

    url = os.environ["DATABASE_URL"]
    os.environ.setdefault("SECRET_KEY", secrets.token_hex(16))
    os.environ["DJANGO_SETTINGS_MODULE"] = "console.settings.web"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
        os.environ["DATABASE_URL"] = urlsplit(url)._replace(path=f"/{NAME}").geturl()
        try:
            import django
            from django.core.management import call_command

            django.setup()
            call_command("migrate", verbosity=0)
            yield
        finally:
            from django.db import connections

            connections.close_all()
            connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")


def held_job() -> Any:
    """A running job of a new team "bench", held for a long time."""
    from console.access.models import Team
    from tests.factories.logs import held_job as held

    team, _ = Team.objects.get_or_create(slug="bench", title="Bench")
    job = held(team)
    type(job).objects.filter(pk=job.pk).update(lease_until="2100-01-01T00:00:00Z")
    return job


def session_key() -> str:
    """A signed-in member of the team."""
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore

    from console.access.models import Membership, Team, User

    user = User.objects.create_user("bench@example.com", "a long password", name="Bench")
    Membership.objects.create(user=user, team=Team.objects.get(slug="bench"), role="viewer")
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "console.access.backends.RoleBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return str(session.session_key)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def web() -> Iterator[tuple[int, int]]:
    """The web process as the launcher starts it: (port, pid)."""
    port = free_port()
    command = [
        sys.executable, "-m", "uvicorn", "console.asgi:application", "--port", str(port),
        "--log-level", "warning", "--ws-max-size", "65536", "--ws-per-message-deflate", "false",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ))
    try:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                urlopen(f"http://127.0.0.1:{port}/static/favicon.svg", timeout=2).close()
                break
            if time.monotonic() > until:
                raise SystemExit("the web process does not answer")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(30)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def event(text: str, at: str) -> bytes:
    """A line as a child writes it into its spool."""
    fields = {"t": "log", "at": at, "stream": "job", "level": "info", "text": text}
    return json.dumps(fields).encode() + b"\n"


def say(**result: Any) -> dict[str, Any]:
    """Print one result as a JSON line."""
    print(json.dumps(result), flush=True)
    return result


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0

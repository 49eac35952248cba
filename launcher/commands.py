"""Which processes make up the application, with their command lines and signals."""

import dataclasses
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from launcher.child import PROJECT, ChildSpec, Stage
from launcher.options import Options

#: Beside the slots for jobs: threads for the short tasks that keep the rest moving.
CONTROL_THREADS = 4
_WORKER_GRACE_S = 30
#: What runs of pages when their process stops and /v1 is not in it.
_PAGES_DRAIN_S = 5
_JOINED_GRACE_S = 150
#: The checks load every page and take half of the time; `make contracts` runs them.
_FAST = ("--skip-checks",)
#: Celery's about root (it is about pickle, which is not accepted here) and WhiteNoise's about the
#: folder of collected files, which there is in production only.
_QUIET = "ignore:You're running the worker with superuser,ignore:No directory at"


@dataclass(frozen=True, kw_only=True)
class Application:
    """The commands to run once, and the processes to keep running, in the order of starting."""

    migrate: ChildSpec
    admin: ChildSpec
    web: ChildSpec
    #: each serves the socket whose number is appended to its command
    gateways: tuple[ChildSpec, ...]
    background: tuple[ChildSpec, ...]
    demo: ChildSpec


def build(options: Options, environment: Mapping[str, str]) -> Application:
    """The application as it is shipped."""
    web = {**environment, "DJANGO_SETTINGS_MODULE": "console.settings.web"}
    worker = {**environment, "DJANGO_SETTINGS_MODULE": "console.settings.worker"}
    for each in (web, worker):
        each.setdefault("PYTHONWARNINGS", _QUIET)
    run_dir = options.data_dir / "run"
    gateways: tuple[ChildSpec, ...] = ()
    if options.gateway_port:
        web["SLIPWAY_GATEWAY_PORT"] = str(options.gateway_port)
        web["SLIPWAY_SPLIT_GATEWAY"] = "1"  # the console's process then leaves /v1 alone
        names = ["gateway", *(f"gateway-{n}" for n in range(2, options.gateways + 1))]
        drain_s = options.gateway_drain_s
        gateways = tuple(
            _server(name, "console.gateway.asgi", web, drain_s, "--fd") for name in names
        )
    return Application(
        migrate=_manage("migrate", "migrate", "--noinput", "-v", "0", *_FAST, environment=web),
        admin=_manage(
            "admin", "admin_ensure", *_FAST, environment={**web, **options.admin}, keep_log=False
        ),
        web=_server(
            "web", "console.asgi", web,
            _PAGES_DRAIN_S if gateways else options.gateway_drain_s,
            "--host", options.host, "--port", str(options.port),
        ),
        gateways=gateways,
        background=(
            _worker(options.slots, "control", worker),
            ChildSpec(
                name="beat",
                command=[
                    *_celery("beat"), "--pidfile=", "-s", str(run_dir / "beat"), "-l", "WARNING",
                ],
                environment=worker,
            ),
        ),
        demo=_manage("demo", "demo", "--base-url", options.url, environment=web),
    )  # fmt: skip


def _manage(
    name: str, *words: str, environment: Mapping[str, str], keep_log: bool = True
) -> ChildSpec:
    return ChildSpec(
        name=name,
        command=[sys.executable, str(PROJECT / "manage.py"), *words],
        environment=environment,
        keep_log=keep_log,
    )


def _server(
    name: str, module: str, environment: Mapping[str, str], drain_s: int, *where: str
) -> ChildSpec:
    """The port is closed first; what runs has `drain_s` seconds to end."""
    return ChildSpec(
        name=name,
        command=[
            sys.executable, "-m", "uvicorn", f"{module}:application",
            "--log-level", "warning", "--http", "console.http_guard:GuardedHttp",
            # Streams without end would hold up the end for ever.
            "--timeout-graceful-shutdown", str(drain_s), "--ws-max-size", "65536",
            # Longer than clients keep theirs: a connection closed just as a request comes is lost.
            "--timeout-keep-alive", "75",
            # A log's frame goes to many sockets: compressing it for each costs more than sending.
            "--ws-per-message-deflate", "false", *where,
        ],
        environment=environment,
        # Without a launcher the database is gone, too: requests that wait for it would hold the
        # port against the next launcher for as long as they have patience.
        orphan_signal=signal.SIGKILL,
        grace_s=drain_s + 5,
    )  # fmt: skip


def joined_worker(options: Options, environment: Mapping[str, str], node: str) -> ChildSpec:
    """The worker of a node that joined: what keeps the installation moving is not its business.

    It gets time to send its newest checkpoints before it ends.
    """
    worker = {**environment, "DJANGO_SETTINGS_MODULE": "console.settings.worker"}
    worker.setdefault("PYTHONWARNINGS", _QUIET)
    spec = _worker(options.slots, f"node.{node}", worker)
    return dataclasses.replace(spec, grace_s=_JOINED_GRACE_S)


def _worker(slots: int, queue: str, environment: Mapping[str, str]) -> ChildSpec:
    threads = slots + CONTROL_THREADS
    return ChildSpec(
        name="worker",
        command=[
            *_celery("worker"), "--pool=threads", "--concurrency", str(threads), "-l", "WARNING",
            "--without-gossip", "--without-mingle", "-Q", queue,
        ],
        environment=environment,
        stage=Stage.WORKER,
        # SIGTERM lets jobs write a last checkpoint; without a launcher nobody would wait for that.
        orphan_signal=signal.SIGQUIT,
        force_signal=signal.SIGQUIT,
        grace_s=_WORKER_GRACE_S,
    )  # fmt: skip


def _celery(command: str) -> list[str]:
    return [sys.executable, "-m", "celery", "--quiet", "-A", "workers.celery", command]

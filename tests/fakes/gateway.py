"""The real gateway under uvicorn, deployments whose replicas are fakes, and callers."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn

from console.access.models import Team, User
from models_app.approvals.models import Environment
from models_app.configs.models import Config, ConfigRevision
from models_app.deployments.models import Deployment, Replica, RequestRecord, Revision
from models_app.deployments.secrets import replica_secret
from models_app.events.publish import publish_now
from models_app.registry.models import Model, ModelVersion
from tests.factories.access import ApiTokenFactory
from tests.fakes.replica import FakeReplica
from tests.waiting import WAIT_S

CHAT_PATH = "/v1/chat/completions"
CHAT = {"model": "research/chat", "messages": [{"role": "user", "content": "Where is it?"}]}


def eventually(check: Callable[[], Any], seconds: float = WAIT_S) -> Any:
    """What `check` returns once it is true; fails after the deadline."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, "it did not come to pass"
        time.sleep(0.01)
    return found


def revision_of(deployment: Deployment, number: int = 1, **spec) -> Revision:
    """An active-able revision with everything it must refer to; `spec` is its configuration."""
    model, _ = Model.objects.get_or_create(team=deployment.team, name="tiny")
    version, _ = ModelVersion.objects.get_or_create(model=model, number=1)
    config, _ = Config.objects.get_or_create(team=deployment.team, kind="serving", name="default")
    config_revision, _ = ConfigRevision.objects.get_or_create(
        config=config,
        spec=spec,
        defaults={
            "number": ConfigRevision.objects.filter(config=config).count() + 1,
            "digest": "0" * 64,
        },
    )
    return Revision.objects.create(
        deployment=deployment,
        number=number,
        state="approved",
        model_version=version,
        config_revision=config_revision,
        digest=f"{number:064d}",
    )


def activate(revision: Revision) -> None:
    """Switch the deployment to this revision, as a roll-out does when its replicas are ready."""
    deployment = revision.deployment
    deployment.revisions.filter(state="active").update(state="superseded")
    Revision.objects.filter(pk=revision.pk).update(state="active")
    Deployment.objects.filter(pk=deployment.pk).update(active_revision=revision)
    publish_now("routes.changed", {}, "gateway")


def replica_row(revision: Revision, fake: FakeReplica, epoch: int = 1) -> Replica:
    """A ready replica that listens where the fake does."""
    row = Replica.objects.create(
        revision=revision, state="ready", host="127.0.0.1", port=fake.port, epoch=epoch
    )
    fake.secret = replica_secret(row.pk, epoch)
    return row


def serve(team: Team, name: str, *fakes: FakeReplica, **spec) -> Deployment:
    """A deployment whose active revision has these replicas and this configuration."""
    environment, _ = Environment.objects.get_or_create(name="staging")
    deployment = Deployment.objects.create(team=team, name=name, environment=environment)
    revision = revision_of(deployment, **spec)
    for fake in fakes:
        replica_row(revision, fake)
    activate(revision)
    return Deployment.objects.get(pk=deployment.pk)


def key_of(user: User, *scopes: str, team: Team | None = None) -> str:
    """The text of a new token."""
    return ApiTokenFactory(user=user, team=team, scopes=list(scopes or ["infer"])).secret


def record_of(request_id: str) -> RequestRecord:
    """The row of a call, once it is written."""
    return eventually(lambda: RequestRecord.objects.filter(request_id=request_id).first())


@dataclass
class Reply:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    events: list[str] = field(default_factory=list)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return self.json["error"]["code"]

    @property
    def request_id(self) -> str:
        return self.headers["x-request-id"]


class RunningGateway:
    """`console.gateway.asgi` on a free port."""

    def __init__(self) -> None:
        from console.gateway.asgi import application, gateway

        self.gateway = gateway
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                log_level="warning",
                timeout_graceful_shutdown=2,
                http="console.http_guard:GuardedHttp",
            )
        )
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True
        )

    def start(self) -> "RunningGateway":
        self._thread.start()
        eventually(lambda: self._server.started)
        return self

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()

    def open(self, key: str | None, body: Any = None, path: str = CHAT_PATH, **headers):
        """A connection on which the request has been sent."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)
        raw = body if isinstance(body, bytes | type(None)) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            named["Authorization"] = f"Bearer {key}"
        connection.request("GET" if body is None else "POST", path, raw, named)
        return connection

    def call(self, key: str | None, body: Any = None, path: str = CHAT_PATH, **headers):
        """The whole answer to one request."""
        connection = self.open(key, body, path, **headers)
        try:
            response = connection.getresponse()
            raw = response.read()
        finally:
            connection.close()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, raw, raw.decode().split("\n\n")[:-1])


@pytest.fixture
def fakes():
    """`fakes(mode)` starts a model server that misbehaves as told."""
    started: list[FakeReplica] = []

    def make(mode: str = "ok") -> FakeReplica:
        started.append(FakeReplica(mode).start())
        return started[-1]

    yield make
    for fake in started:
        fake.stop()


@pytest.fixture
def gateway(transactional_db):
    """The gateway, running, over whatever rows the test makes."""
    running = RunningGateway().start()
    yield running
    running.stop()


@pytest.fixture
def chat(team, fakes, gateway):
    """Deployment research/chat with one good replica, known to the gateway."""
    fake = fakes()
    fake.deployment = serve(team, "chat", fake)
    wait_for_route(gateway, "research/chat", replicas=1)
    return fake


def wait_for_route(running: RunningGateway, name: str, replicas: int) -> None:
    """Until the gateway knows so many replicas of a deployment."""
    routes = running.gateway.tables.routes
    eventually(
        lambda: name in routes.by_name and len(routes.by_name[name].active.replicas) == replicas
    )

"""An adapter comes to a replica that answers, and goes again: a real child, a real server."""

import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from django.db import connections

from models_app.core.blobs import tree_put
from models_app.core.digests import tree_digest
from models_app.deployments.models import Replica
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.secrets import replica_secret
from models_app.deployments.services import (
    deployment_adapter_add,
    deployment_adapter_remove,
    deployment_stop,
)
from models_app.deployments.states import ReplicaState
from tests.factories.deployments import (
    adapter_version,
    claim,
    deployment_of,
    live,
    ready_version,
    revision_of,
)
from tests.waiting import WAIT_S
from tests.workers.lm.inference import lora, tiny
from workers.attempt import Attempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def stored(version, folder):
    """The version with the files of this folder."""
    version.manifest = tree_put(folder)
    version.digest = tree_digest(version.manifest)
    version.save()
    return version


def until(condition, seconds=WAIT_S):
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() < begun + seconds, "it took too long"
        time.sleep(0.05)
    return time.monotonic() - begun


class Server:
    """The only replica, asked as the gateway asks it."""

    def __init__(self, replica):
        self.url = f"http://{replica.host}:{replica.port}"
        self.secret = replica_secret(replica.pk, replica.epoch)

    def open(self, path, body=None, adapter=""):
        headers = {"Authorization": f"Bearer {self.secret}", "Content-Type": "application/json"}
        if adapter:
            headers["x-slipway-adapter"] = adapter
        data = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}{path}", data=data, headers=headers)
        return urllib.request.urlopen(request, timeout=30)

    def text(self, adapter=""):
        body = {"model": "m", "prompt": "the quick", "max_tokens": 8, "temperature": 0}
        with self.open("/v1/completions", body, adapter) as answer:
            return json.load(answer)["choices"][0]["text"]

    def health(self):
        with self.open("/health") as answer:
            return json.load(answer)


class Stream(threading.Thread):
    """Asks the base for one long answer after another; keeps the longest pause between events."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.pause, self.events = server, 0.0, 0
        self.stop = threading.Event()
        self.error = None

    def run(self):
        body = {
            "model": "m", "prompt": "the", "max_tokens": 100, "stream": True, "ignore_eos": True,
        }  # fmt: skip
        try:
            last = time.monotonic()
            while not self.stop.is_set():
                with self.server.open("/v1/completions", body) as answer:
                    for line in answer:
                        assert b'"error"' not in line
                        self.pause = max(self.pause, time.monotonic() - last)
                        last = time.monotonic()
                        self.events += line.startswith(b"data")
        except Exception as error:
            self.error = error


def test_an_adapter_comes_and_goes_while_the_base_streams(ana, team, tmp_path):
    base = stored(ready_version(team, name="talker"), tiny.save(tmp_path / "base"))
    adapter = stored(adapter_version(team, base), lora.save(tmp_path / "adapter"))
    deployment = deployment_of(ana, team)
    revision_of(ana, deployment, version=base, max_slots=4)
    reconcile_deployment(deployment.pk)
    job = claim(live(deployment)[0])

    def supervise():
        try:
            Attempt(job, stopping=threading.Event()).run()
        finally:
            connections.close_all()

    def serves(number):
        reconcile_deployment(deployment.pk)
        deployment.refresh_from_db()
        active = deployment.active_revision
        return active is not None and active.number == number

    worker = threading.Thread(target=supervise)
    worker.start()
    try:
        until(
            lambda: Replica.objects.get().state == ReplicaState.READY or not worker.is_alive(), 150
        )
        until(lambda: serves(1))
        server = Server(Replica.objects.get())
        stream = Stream(server)
        stream.start()
        until(lambda: stream.events > 3)
        plain = server.text()

        deployment_adapter_add(actor=ana, deployment=deployment, name="sql", model_version=adapter)
        assert until(lambda: serves(2)) < 5
        assert server.text("sql") != plain
        assert server.text() == plain
        assert server.health()["adapter_bytes"] > 0

        deployment_adapter_remove(actor=ana, deployment=deployment, name="sql")
        assert until(lambda: serves(3)) < 5
        with pytest.raises(urllib.error.HTTPError) as refused:
            server.text("sql")
        assert json.load(refused.value)["error"]["code"] == "adapter_not_loaded"
        until(lambda: server.health()["adapter_bytes"] == 0)
        until(lambda: server.health()["fingerprint"] == deployment.active_revision.digest[:12])
        stream.stop.set()
        stream.join(20)
        assert stream.error is None
        assert stream.pause < 3
        assert Replica.objects.count() == 1
    finally:
        deployment_stop(actor=ana, deployment=deployment)
        until(lambda: reconcile_deployment(deployment.pk) and not live(deployment))
        worker.join(60)
    assert not worker.is_alive()

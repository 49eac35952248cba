"""A version is deployed, answers over HTTP, and is stopped: a real child, a real model server."""

import json
import threading
import time
import urllib.request

import pytest
from django.db import connections

from models_app.core.blobs import tree_put
from models_app.core.digests import tree_digest
from models_app.deployments.models import Replica
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.secrets import replica_secret
from models_app.deployments.services import deployment_stop
from models_app.deployments.states import ReplicaState
from models_app.jobs.models import Job
from models_app.jobs.states import JobState
from tests.factories.deployments import claim, deployment_of, live, ready_version, revision_of
from tests.waiting import WAIT_S
from tests.workers.lm.inference import tiny
from workers.attempt import Attempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def tiny_version(team, folder):
    version = ready_version(team)
    version.manifest = tree_put(tiny.save(folder, "gpt2"))
    version.digest = tree_digest(version.manifest)
    version.save()
    return version


def until(condition, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def ask(route, replica):
    request = urllib.request.Request(
        f"http://{replica['host']}:{replica['port']}/v1/completions",
        data=json.dumps({"model": route["name"], "prompt": "the quick", "max_tokens": 5}).encode(),
        headers={
            "Authorization": f"Bearer {replica_secret(replica['id'], replica['epoch'])}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_from_version_to_answer_and_back(ana, team, tmp_path):
    deployment = deployment_of(ana, team)
    revision_of(ana, deployment, version=tiny_version(team, tmp_path / "m"), max_slots=2)
    reconcile_deployment(deployment.pk)
    replica = live(deployment)[0]
    job = claim(replica)

    def supervise():
        try:
            Attempt(job, stopping=threading.Event()).run()
        finally:
            connections.close_all()

    worker = threading.Thread(target=supervise)
    worker.start()
    try:
        until(lambda: Replica.objects.get().state == ReplicaState.READY or not worker.is_alive())
        reconcile_deployment(deployment.pk)
        (route,) = route_table()
        answer = ask(route, route["arms"][0]["replicas"][0])
        assert answer["usage"]["completion_tokens"] == 5
        assert answer["system_fingerprint"].endswith(route["arms"][0]["fingerprint"])
    finally:
        deployment_stop(actor=ana, deployment=deployment)
        until(lambda: reconcile_deployment(deployment.pk) and not live(deployment))
        worker.join(60)

    assert not worker.is_alive()
    assert Job.objects.get().state == JobState.CANCELED
    assert route_table() == []

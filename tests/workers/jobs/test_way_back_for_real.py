"""Back to an earlier revision, exactly: real model servers give the same 20 answers as before."""

import os
import threading
import time

import pytest
from django.db import connections

from models_app.audit.models import AuditEvent
from models_app.core.blobs import tree_put
from models_app.core.digests import tree_digest
from models_app.deployments.digest import revision_digest
from models_app.deployments.golden import golden_round
from models_app.deployments.models import GoldenAnswer, Replica, Rollout
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import deployment_stop, roll_back
from models_app.deployments.states import ReplicaState
from tests.factories.deployments import claim, deployment_of, live, ready_version, revision_of
from tests.waiting import WAIT_S
from tests.workers.lm.inference import tiny
from workers.attempt import Attempt

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

PROMPTS = [f"{word} {number}" for number in range(5) for word in ("the", "stop", "user:", "café")]


class Workers:
    """Runs the jobs of replicas as the worker service does, one thread each."""

    def __init__(self, deployment) -> None:
        self.deployment = deployment
        self._threads: list[threading.Thread] = []

    def until(self, condition, seconds=WAIT_S) -> None:
        """Rounds until it holds; whatever waits for a worker gets one."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it took too long"
            reconcile_deployment(self.deployment.pk)
            for replica in live(self.deployment):
                if replica.state == ReplicaState.PENDING and (job := claim(replica)):
                    self._run(job)
            time.sleep(0.1)

    def _run(self, job) -> None:
        def work():
            try:
                Attempt(job, stopping=threading.Event()).run()
            finally:
                connections.close_all()

        thread = threading.Thread(target=work)
        thread.start()
        self._threads.append(thread)

    def end(self, actor) -> None:
        deployment_stop(actor=actor, deployment=self.deployment)
        self.until(lambda: not live(self.deployment))
        for thread in self._threads:
            thread.join(60)


def version_of(team, folder, layers):
    version = ready_version(team, text=f"weights {layers}")
    version.manifest = tree_put(tiny.save(folder / str(layers), "gpt2", n_layer=layers))
    version.digest = tree_digest(version.manifest)
    version.save()
    return version


@pytest.mark.skipif(
    os.environ.get("CHAOS") != "full", reason="three model servers: run `make proofs`"
)
def test_a_way_back_is_exact(ana, team, tmp_path):
    deployment = deployment_of(ana, team)
    workers = Workers(deployment)

    def serves(number):
        deployment.refresh_from_db()
        active = deployment.active_revision
        return active is not None and active.number == number

    settings = {"max_slots": 2, "golden_prompts": PROMPTS, "keep_warm_s": 0}
    first = revision_of(ana, deployment, version=version_of(team, tmp_path, 1), **settings)
    try:
        workers.until(lambda: serves(1))
        assert golden_round() == 1
        stored = list(GoldenAnswer.objects.filter(revision=first))
        assert len(stored) == 20
        assert all(row.tokens for row in stored)

        revision_of(ana, deployment, version=version_of(team, tmp_path, 2), **settings)
        workers.until(lambda: serves(2))
        assert golden_round() == 1
        others = GoldenAnswer.objects.filter(revision__number=2).values_list("tokens", flat=True)
        assert list(others) != [row.tokens for row in stored]
        gone = Replica.objects.get(revision=first)
        workers.until(lambda: Replica.objects.get(pk=gone.pk).state == ReplicaState.STOPPED)

        roll_back(actor=ana, deployment=deployment)
        fresh = Replica.objects.filter(revision=first).exclude(pk=gone.pk)
        workers.until(lambda: fresh.filter(state=ReplicaState.READY).exists())
        assert serves(2)  # not a request before the proof
        assert golden_round() == 1

        assert serves(1)
        rows = GoldenAnswer.objects.filter(revision=first)
        assert set(rows.values_list("replay_equal", flat=True)) == {True}
        assert AuditEvent.objects.get(action="golden.equal").changes["answers"] == 20
        assert Rollout.objects.first().golden == "equal"
        first.refresh_from_db()
        assert revision_digest(first) == first.digest == deployment.active_revision.digest
    finally:
        workers.end(ana)

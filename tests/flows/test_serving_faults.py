"""People ask without a pause while a model server is killed and another version rolled out.

The short form of `make serving-faults`, which does the same with nodes, gateways and scaling.
"""

import os
import signal
import time

import pytest

from benchmarks.faults.people import People, questions
from models_app.core.blobs import tree_put
from models_app.core.digests import tree_digest
from models_app.deployments.digest import fingerprint
from models_app.deployments.models import Replica
from models_app.deployments.services import deployment_stop
from models_app.deployments.states import ReplicaState
from models_app.jobs.models import JobAttempt
from tests.factories.access import ApiTokenFactory
from tests.factories.deployments import deployment_of, live, ready_version, revision_of
from tests.flows.site import until
from tests.workers.lm.inference import tiny

pytestmark = [pytest.mark.slow]
PER_SECOND = 10


def tiny_version(team, folder, seed):
    version = ready_version(team)
    version.manifest = tree_put(tiny.save(folder / str(seed), "gpt2", seed=seed))
    version.digest = tree_digest(version.manifest)
    version.save()
    return version


def served(revision, replicas=2) -> set[int]:
    """Wait until the revision is active with so many ready replicas; those."""

    def there():
        revision.refresh_from_db()
        ready = Replica.objects.filter(revision=revision, state=ReplicaState.READY)
        found = set(ready.values_list("pk", flat=True))
        return found if revision.state == "active" and len(found) == replicas else None

    return until(there, f"revision {revision.number} serves")


def learnt(people, revision) -> None:
    until(lambda: people.learn().endswith(fingerprint(revision)), "its answers are known")


def pid_of(replica_id: int) -> int:
    job = Replica.objects.get(pk=replica_id).job_id
    return JobAttempt.objects.filter(job=job).latest("pk").pid


@pytest.mark.usefixtures("worker", "clock", "environments")
def test_nobody_fails_and_no_word_is_wrong(ana, team, console_url, tmp_path):
    deployment = deployment_of(ana, team)
    versions = [tiny_version(team, tmp_path / "models", seed) for seed in (1, 2)]
    spec = {"replicas": 2, "max_slots": 8, "keep_warm_s": 0}
    token = ApiTokenFactory(user=ana).secret
    people = People(console_url, token, f"{team.slug}/writer", questions(8), PER_SECOND)
    # Both in peace first: what each of them says to each question is known then.
    second = revision_of(ana, deployment, version=versions[1], **spec)
    served(second)
    learnt(people, second)
    first = revision_of(ana, deployment, version=versions[0], **spec)
    before = served(first)
    learnt(people, first)

    people.start("killed")
    try:
        people.well(PER_SECOND)
        victim = min(before)
        os.kill(pid_of(victim), signal.SIGKILL)
        until(lambda: victim not in served(first), "another one has taken its place")
        people.well(PER_SECOND)
        people.phase = "rolled out"
        served(revision_of(ana, deployment, version=versions[1], **spec))
        until(lambda: answers(people, second), "it answers")
    finally:
        people.stop()

    assert [told for told in people.told if told.how != "ok" or told.cut] == []
    assert {told.stream for told in people.told if told.phase == "killed"} == {True, False}
    deployment_stop(actor=ana, deployment=deployment)
    until(lambda: not live(deployment), "it is stopped")


def answers(people, revision) -> bool:
    """Whether the last to be served were answered by this revision."""
    last = people.told[-1]
    return last.begun > time.monotonic() - 5 and last.revision.endswith(fingerprint(revision))

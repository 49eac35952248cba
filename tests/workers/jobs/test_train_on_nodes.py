"""A training on two nodes at once, by two real workers: equal, killed, one node lost and back."""

import os
import signal

import pytest

from models_app.jobs.control import job_pause, job_resume
from models_app.jobs.gangs import nodes_of, parts_of
from models_app.jobs.logs import log_list
from models_app.jobs.models import Job, MetricPoint
from models_app.jobs.services import job_cancel
from models_app.jobs.states import TERMINAL
from models_app.jobs.waiting import why_waiting
from models_app.pools.models import Pool
from models_app.pools.selectors import node_list
from models_app.pools.services.pools import pool_default
from models_app.registry.services import model_create, training_start
from tests.factories.data import ready_version
from tests.fakes.jobs import run_job
from tests.workers.conftest import WorkerProcess, wait_for
from tests.workers.isolation.stage import lives
from tests.workers.jobs.test_train import TINY
from tests.workers.lm.training.distributed.settings import LLAMA
from workers.isolation.processes import table

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

FULL = os.environ.get("CHAOS") == "full"
STEPS = 240
SETTINGS = {
    **TINY, "preset": None, "architecture": LLAMA, "steps": STEPS, "checkpoint_every": 10,
    "log_every": 5, "evaluate_every": STEPS, "min_learning_rate": 1e-4,
}  # fmt: skip
TWO = {**SETTINGS, "processes": 2, "nodes": 2}


class Machine(WorkerProcess):
    """One of two workers of this machine, as two nodes with one disk."""

    def __init__(self, name: str, data_dir) -> None:
        super().__init__(data_dir, SLIPWAY_NODE=name, SLIPWAY_WARM_TEMPLATE="1")
        self.name = name

    def wait_ready(self) -> None:
        known = node_list().filter(name=self.name, ready=True, state="ready")
        wait_for(known.exists, f"{self.name} is ready")


@pytest.fixture
def machines(transactional_db, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    found = {name: Machine(name, tmp_path) for name in ("east", "west")}
    for machine in found.values():
        machine.spawn()
    for machine in found.values():
        machine.wait_ready()
    pool_default()
    Pool.objects.update(private_network=True)
    yield found
    for machine in found.values():
        machine.stop()
    print((tmp_path / "worker.log").read_text()[-8000:])


@pytest.fixture
def start(ana, team, tmp_path):
    """Starts a training with these settings; the version that is to come."""
    data = ready_version(ana, team, tmp_path)
    model = model_create(actor=ana, team=team, name="poet")

    def started(**settings):
        return training_start(
            actor=ana, team=team, model=model, dataset_version=data, spec=settings
        )

    return started


def ended(version):
    job = version.produced_by
    wait_for(lambda: Job.objects.get(pk=job.pk).state in TERMINAL, "it ends")
    job.refresh_from_db()
    version.refresh_from_db()
    assert job.state == "succeeded", (job.reason, job.attempts.last().tail)
    return job


def weights(version):
    return version.manifest["model.safetensors"]["sha256"]


def at_work(job, epoch):
    """Wait until this attempt has told of a step of its own."""

    def told():
        attempt = job.attempts.filter(epoch=epoch).first()
        points = MetricPoint.objects.filter(job=job, name="loss")
        return attempt is not None and points.filter(at__gt=attempt.started_at).exists()

    wait_for(told, f"attempt {epoch} trains")
    job.refresh_from_db()


def manned(job, epoch, number):
    """A part of this attempt whose processes compute, or None."""
    part = parts_of(job)[number]
    return part if part.epoch == epoch and part.pid and ranks_of(part) else None


def ranks_of(part):
    """The processes that compute on one node."""
    return [row.pid for row in table.rows().values() if row.parent == part.pid and row.alive]


def series(job, name="loss"):
    return dict(MetricPoint.objects.filter(job=job, name=name).values_list("step", "value"))


def test_two_nodes_train_as_one_and_survive_the_loss_of_a_rank_and_of_a_node(
    machines, start, tmp_path
):
    alone = run_job(start(**{**SETTINGS, "nodes": 1}).produced_by, tmp_path)
    whole = start(**TWO)
    job = ended(whole)

    assert sorted(row.node_name for row in parts_of(job)) == ["east", "west"]
    expected, found = series(alone), series(job)
    assert found.keys() == expected.keys() and STEPS in found
    assert max(abs(found[step] - expected[step]) for step in expected) < 5e-6
    assert {"rank_0_step_seconds", "rank_1_step_seconds"} <= set(
        MetricPoint.objects.filter(job=job).values_list("name", flat=True)
    )
    wait_for(lambda: any("[rank 1] " in row[-1] for row in log_list(job=job, limit=10_000)),
             "the log of the other node is there")  # fmt: skip

    broken = start(**TWO)
    job = broken.produced_by
    at_work(job, 1)
    parts = parts_of(job)
    (other,), (rank,) = map(ranks_of, parts)
    every = [other, rank]
    os.kill(rank, signal.SIGKILL)
    wait_for(lambda: not any(lives(pid) for pid in every), "the others end with it")
    wait_for(lambda: job.attempts.get(epoch=1).ended_at, "the attempt has ended")
    attempt = job.attempts.get(epoch=1)
    assert attempt.reason_code == "killed"
    assert attempt.reason == f"On {parts[1].node_name}: Process 1 of 2 was killed by SIGKILL."

    at_work(job, 2)
    lost = machines[parts_of(job)[1].node_name]
    lost.kill()
    wait_for(lambda: "1 is there" in why_waiting(job=Job.objects.get(pk=job.pk)),
             "it waits for the node")  # fmt: skip
    lost.spawn()
    lost.wait_ready()
    job = ended(broken)

    assert job.epoch > 2
    assert weights(broken) == weights(whole)


@pytest.mark.skipif(not FULL, reason="minutes: make parallel-kills")
def test_killed_on_nodes_again_and_again_it_ends_with_the_same_weights(machines, start):
    changes = {**TWO, "dropout": 0.1, "processes": 4, "steps": 400}
    whole = start(**changes)
    ended(whole)
    broken = start(**changes)
    job = broken.produced_by
    for epoch in range(1, 7):
        at_work(job, epoch)
        part = wait_for(lambda e=epoch: manned(job, e, e % 2), "its processes are there")
        os.kill((part.pid, *ranks_of(part))[0 if epoch == 3 else -1], signal.SIGKILL)
        wait_for(lambda e=epoch: job.attempts.get(epoch=e).ended_at, "it ends")
    ended(broken)

    assert weights(broken) == weights(whole)


@pytest.mark.skipif(not FULL, reason="minutes: make parallel-kills")
def test_wishes_reach_every_node(machines, start, ana):
    version = start(**{**TWO, "steps": 20_000})
    job = version.produced_by
    at_work(job, 1)
    parts = parts_of(job)
    every = [pid for part in parts for pid in ranks_of(part)]
    assert len(every) == 2
    job_pause(actor=ana, job=job)
    wait_for(lambda: Job.objects.get(pk=job.pk).state == "paused", "it pauses")
    wait_for(lambda: not any(lives(pid) for pid in every), "nobody goes on")
    saved = job.checkpoints.order_by("-step").first().step
    job_resume(actor=ana, job=Job.objects.get(pk=job.pk))
    at_work(job, 2)
    assert any(f"Going on from checkpoint step-{saved:06d}" in row[-1]
               for row in log_list(job=job, limit=10_000))  # fmt: skip

    follower = machines[parts_of(job)[1].node_name]
    follower.stop()
    wait_for(lambda: Job.objects.get(pk=job.pk).state == "pending", "it is given back")
    job.refresh_from_db()
    assert job.barren_attempts == 0
    follower.spawn()
    follower.wait_ready()
    at_work(job, 3)
    assert len(nodes_of(job)) == 2
    job_cancel(actor=ana, job=job)
    wait_for(lambda: Job.objects.get(pk=job.pk).state == "canceled", "it ends")

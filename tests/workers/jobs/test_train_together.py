"""A training in several processes as a job: what it asks for, and that it survives their loss."""

import os
import signal
import threading

import pytest

from models_app.core.errors import InvalidInput
from models_app.jobs.claims import job_claim
from models_app.jobs.models import Job, MetricPoint
from models_app.pools.services.registration import node_register
from models_app.registry.services import model_create, training_start
from tests.factories.data import ready_version
from tests.factories.jobs import placed
from tests.fakes.jobs import run_job
from tests.workers.conftest import wait_for
from tests.workers.isolation.stage import lives
from tests.workers.jobs.test_train import TINY
from tests.workers.lm.training.distributed.settings import LLAMA
from workers.attempt import Attempt
from workers.isolation.processes import table

TWO = {**TINY, "dropout": 0.1, "processes": 2}


@pytest.fixture
def data(ana, team, tmp_path):
    return ready_version(ana, team, tmp_path)


@pytest.fixture
def model(ana, team):
    return model_create(actor=ana, team=team, name="poet")


def start(ana, model, data, **changes):
    return training_start(
        actor=ana, team=model.team, model=model, dataset_version=data, spec={**TWO, **changes}
    )


@pytest.mark.django_db
class TestAsks:
    def test_for_processors_for_all_of_them(self, ana, model, data):
        node_register(name="n", incarnation="1", slots=1, capacity={"cpus": 8, "memory_mib": 9999})

        assert start(ana, model, data, threads=3).produced_by.cpus == 6
        assert start(ana, model, data, processes=1, threads=3).produced_by.cpus == 0

    def test_for_a_gpu_each_where_there_are_any(self, ana, model, data):
        gpus = [{"name": "x", "memory_mib": 1}] * 4
        node_register(name="n", incarnation="1", slots=1,
                      capacity={"cpus": 8, "memory_mib": 9999, "gpus": gpus})  # fmt: skip

        assert start(ana, model, data).produced_by.gpus == 2
        assert start(ana, model, data, processes=1).produced_by.gpus == 1

    @pytest.mark.parametrize(
        ("changes", "field", "text"),
        [
            ({"batch_size": 12, "processes": 5}, "processes", "Use one of 1, 2, 3, 4, 6, 12."),
            ({"batch_size": 12, "processes": 3, "gradient_accumulation": 2, "threads": 4},
             "processes", "3 processes with 4 threads each need 12 processors, the largest node "
             "has 8. Use at most 2."),
            ({"processes": 3, "parallel": "tensor"}, "processes",
             "The 4 attention heads cannot be shared by 3 processes. Use 1, 2 or 4."),
            ({"preset": None, "parallel": "tensor", "architecture": {
                "model_type": "phi", "hidden_size": 32, "num_hidden_layers": 1,
                "num_attention_heads": 2, "intermediate_size": 64}},
             "parallel", "Layers of phi models cannot be cut"),
            ({"parallel": "pipeline"}, "parallel", "ddp"),
            ({"processes": 0}, "processes", "greater"),
        ],
    )  # fmt: skip
    def test_that_cannot_be_met_name_the_field_and_the_remedy(
        self, ana, model, data, changes, field, text
    ):
        node_register(name="n", incarnation="1", slots=1, capacity={"cpus": 8, "memory_mib": 9999})
        with pytest.raises(InvalidInput) as refused:
            start(ana, model, data, **changes)

        assert text in refused.value.errors[f"config.{field}"][0]
        assert not Job.objects.filter(kind="train").exists()


def attempted(job):
    """Run an attempt as a worker's thread does; the thread, and the process of the attempt."""
    held = job_claim(worker="w:1:1", node="n", job_id=placed(job, "n").pk)
    thread = threading.Thread(target=Attempt(held, stopping=threading.Event()).run)
    thread.start()
    return thread, held


def ranks_of(held):
    """The processes that the attempt's own process has started, oldest first."""
    pid = held.attempts.get(epoch=held.epoch).pid
    children = [row for row in table.rows().values() if pid and row.parent == pid and row.alive]
    return [row.pid for row in sorted(children, key=lambda row: (row.started, row.pid))]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_killed_process_is_a_crash_that_the_job_survives(ana, model, data, tmp_path):
    changes = {
        "preset": None, "architecture": LLAMA, "steps": 100, "checkpoint_every": 10,
        "log_every": 5, "evaluate_every": 100, "checkpoint_in_background": "on",
    }  # fmt: skip
    whole = start(ana, model, data, **changes)
    run_job(whole.produced_by, tmp_path)
    broken = start(ana, model, data, **changes)
    job = broken.produced_by

    thread, held = attempted(job)
    wait_for(lambda: MetricPoint.objects.filter(job=job, step__gte=15).exists(), "it trains")
    ranks = ranks_of(held)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    thread.join(60)
    job.refresh_from_db()

    assert (job.state, job.reason_code) == ("pending", "killed")
    assert job.reason == "Process 1 of 2 was killed by SIGKILL."
    assert not any(lives(pid) for pid in ranks)

    Job.objects.filter(pk=job.pk).update(run_after="2020-01-01T00:00:00Z")
    thread, held = attempted(job)
    thread.join(120)
    job.refresh_from_db()
    whole.refresh_from_db()
    broken.refresh_from_db()

    assert (job.state, job.epoch) == ("succeeded", 2), job.reason
    names = set(MetricPoint.objects.filter(job=job).values_list("name", flat=True))
    assert {f"rank_{rank}_{what}" for rank in (0, 1)
            for what in ("step_seconds", "memory_bytes")} <= names  # fmt: skip
    weights = [v.manifest["model.safetensors"]["sha256"] for v in (whole, broken)]
    assert weights[0] == weights[1]
    tail = job.attempts.get(epoch=2).tail
    assert "[rank 0] step 100/100" in tail and "[rank 1] step 100  " in tail

"""Every sentence that jobs, trainings and sweeps store of their ends is known to the pages."""

import json

import pytest

from console.pages.jobs import reasons
from models_app.batches.rows import MOST_ROWS, rows_read
from models_app.configs.specs.serving.rollout import RolloutSettings
from models_app.deployments.judging import ArmFigures, Figures, Pairs, why_bad
from models_app.deployments.subject import WHY
from models_app.jobs.failures import PATTERNS, Failure
from models_app.jobs.models import Job
from models_app.jobs.retries import _exhausted
from workers.isolation.fence import TEXTS, Breach
from workers.lm.compute.memory import MemoryEstimate
from workers.lm.errors import RankLost, TrainingDiverged
from workers.lm.training.fitting import _too_large
from workers.lm.training.preparation import _too_short
from workers.lm.training.spec import TrainSpec

pytestmark = pytest.mark.nodb
NEED = MemoryEstimate(
    parameters=1, weights=1 << 34, gradients=0, optimizer=0, activations=0, overhead=0
)


@pytest.fixture(autouse=True)
def marked(monkeypatch):
    """What is translated stands in these marks."""
    monkeypatch.setattr(reasons, "_", lambda text: f"«{text}»")


def exhausted():
    """The reason of a job that is given up after an attempt that failed."""
    failure = Failure(code="killed", message="It ended by itself.", final=False)
    return _exhausted(Job(epoch=4), failure, 4)[1]


def bad(new=None, old=None, copies=None):
    """The reason of a revision that does worse than it may."""
    arms = [ArmFigures(requests=50, timed=50, **arm) for arm in (new or {}, old or {})]
    return why_bad(
        Figures(new=arms[0], old=arms[1], copies=copies), RolloutSettings(max_slowdown=2.0)
    )


def file_problems():
    """What can be wrong with a file of requests."""
    body = {"model": "a/b"}
    good = {"custom_id": "a", "url": "/v1/completions", "body": body}
    rows = [
        b"{", b"[]", good, {**good, "custom_id": ""}, good, {**good, "method": "GET"},
        {**good, "url": "/"}, {**good, "body": 1}, {**good, "body": {}},
        {**good, "body": {"model": "a/c"}}, {**good, "body": {**body, "stream": True}},
    ]  # fmt: skip
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    many = rows_read((b"{" for _ in range(MOST_ROWS + 1)), "/v1/completions")
    found = rows_read(lines, "/v1/completions").problems + rows_read([], "").problems
    assert len(many.problems) == 100
    return {problem["message"] for problem in found}


SAID = [
    bad({"errors": 20}),
    bad({"first_token_p95_ms": 900.0}, {"first_token_p95_ms": 100.0}),
    bad(copies=Pairs(pairs=50, alike=1, copy_p95_ms=900, original_p95_ms=100)),
    *map(str, WHY.values()),
    *sorted(file_problems()),
    str(TrainingDiverged(3, "loss")),
    str(TrainingDiverged(3, "spike")),
    str(TrainingDiverged(3, "gradient", 4)),
    str(RankLost(1, 2, "was killed by SIGKILL")),
    _too_short(TrainSpec(), 5, "bytes").message,
    _too_short(TrainSpec(), 5, "tokens").message,
    _too_large(TrainSpec(), NEED, 1 << 30).message,
    _too_large(TrainSpec(), NEED, 1 << 35).message,
    _too_large(TrainSpec(activation_checkpointing=True), NEED, 1 << 35).message,
    *(Breach(code=code, used=5, limit=4).message(step) for code in TEXTS for step in (None, 1200)),
    *(f"{text} (sign)" for _pattern, _code, text, _elsewhere in PATTERNS),
]


@pytest.mark.parametrize("reason", SAID)
def test_it_is_known(reason):
    told = reasons.said(reason)

    assert told.startswith("«") and told.endswith("»")
    assert told.replace("«", "").replace("»", "") == reason


def test_what_is_said_after_another_reason_leaves_that_one_known():
    assert reasons.said(exhausted()) == (
        "««It ended by itself.» This was attempt 4; 4 in a row brought nothing new.»"
    )


def test_a_trial_that_was_beaten_tells_it_whole():
    told = reasons.said("Stopped by sweep 3: Not among the best 1/3 of 9 at step 40.")

    assert told == "«Stopped by sweep 3: «Not among the best 1/3 of 9 at step 40.»»"


def test_a_roll_out_that_failed_tells_why_its_replica_did_and_keeps_the_log():
    told = reasons.said("A replica failed: It ended by itself.\n\nlast line: 1.\nand another")

    assert told == "«A replica failed: «It ended by itself.»\n\nlast line: 1.\nand another»"
    late = (
        "Only 1 of 2 replicas were ready after 20 minutes. 3 jobs of the same pool are before it."
    )
    assert reasons.said(late).count("«") == 2


def test_words_of_others_stay():
    assert reasons.said("ValueError: one\ntwo") == "ValueError: one\ntwo"

"""Every sentence that jobs, trainings and sweeps store of their ends is known to the pages."""

import pytest

from console.pages.jobs import reasons
from models_app.jobs import attempts
from models_app.jobs.failures import PATTERNS, Failure
from models_app.jobs.models import Job
from workers.isolation.fence import TEXTS, Breach
from workers.lm.compute.memory import MemoryEstimate
from workers.lm.errors import RankLost, TrainingDiverged
from workers.lm.training.preparation import _too_short
from workers.lm.training.run import _too_large
from workers.lm.training.spec import TrainSpec

pytestmark = pytest.mark.nodb
NEED = MemoryEstimate(
    parameters=1, weights=1 << 34, gradients=0, optimizer=0, activations=0, overhead=0
)


@pytest.fixture(autouse=True)
def marked(monkeypatch):
    """What is translated stands in these marks."""
    monkeypatch.setattr(reasons, "_", lambda text: f"«{text}»")


def hopeless(signature=""):
    """The reason of a job that is given up after an attempt that failed."""
    job = Job(max_attempts=4, epoch=4, failure_signature=signature)
    failure = Failure(code="killed", message="It ended by itself.", final=False,
                      signature=signature)  # fmt: skip
    return attempts._hopeless(job, failure, 4)[1]


SAID = [
    str(TrainingDiverged(3, "loss")),
    str(RankLost(1, 2, "was killed by SIGKILL")),
    _too_short(TrainSpec(), 5, "bytes").message,
    _too_short(TrainSpec(), 5, "tokens").message,
    _too_large(NEED, 1 << 30).message,
    _too_large(NEED, 1 << 35).message,
    *(Breach(code=code, used=5, limit=4).message(step) for code in TEXTS for step in (None, 1200)),
    *(f"{text} (sign)" for _pattern, _code, text, _elsewhere in PATTERNS),
]


@pytest.mark.parametrize("reason", SAID)
def test_it_is_known(reason):
    told = reasons.said(reason)

    assert told.startswith("«") and told.endswith("»")
    assert told.replace("«", "").replace("»", "") == reason


def test_what_is_said_after_another_reason_leaves_that_one_known():
    assert reasons.said(hopeless()) == (
        "««It ended by itself.» This was attempt 4; 4 in a row brought nothing new.»"
    )
    assert reasons.said(hopeless("x")).startswith("««It ended by itself.» It failed twice")


def test_a_trial_that_was_beaten_tells_it_whole():
    told = reasons.said("Stopped by sweep 3: Not among the best 1/3 of 9 at step 40.")

    assert told == "«Stopped by sweep 3: «Not among the best 1/3 of 9 at step 40.»»"


def test_words_of_others_stay():
    assert reasons.said("ValueError: one\ntwo") == "ValueError: one\ntwo"

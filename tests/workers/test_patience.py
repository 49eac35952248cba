"""A store that is away is waited for, but not when the job may go on elsewhere."""

import threading

import pytest

from models_app.core.errors import StaleEpoch
from models_app.core.store import StoreUnavailable
from models_app.jobs.kind import JobFailed
from workers import patience
from workers.patience import with_store

pytestmark = pytest.mark.nodb


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(patience, "RETRY_S", 0.01)


def away(times: int):
    """Unavailable so many times, then done."""
    left = iter(range(times))

    def action():
        if next(left, None) is not None:
            raise StoreUnavailable("away")
        return "done"

    return action


def attempt(action, *, lost=False, leaving=False):
    said, event = [], threading.Event()
    if lost:
        event.set()
    return with_store(action, lost=event, leaving=lambda: leaving, say=said.append), said


def test_goes_on_when_the_store_is_back_and_says_so_once():
    done, said = attempt(away(3))

    assert done == "done"
    assert said == ["Waiting for the store. away"]


def test_ends_with_the_lease():
    with pytest.raises(StaleEpoch):
        attempt(away(3), lost=True)


def test_gives_the_job_back_when_it_is_wanted_elsewhere():
    with pytest.raises(JobFailed) as given_back:
        attempt(away(3), leaving=True)
    assert not given_back.value.permanent


def test_gives_the_job_back_when_the_store_stays_away(monkeypatch):
    monkeypatch.setattr(patience, "LONGEST_S", 0.1)
    with pytest.raises(JobFailed) as given_back:
        attempt(away(10**9))
    assert not given_back.value.permanent

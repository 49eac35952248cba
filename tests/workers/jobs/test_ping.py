"""An inline job runs in the worker itself, once, and its log and end are stored together."""

import pytest
from django.db import IntegrityError

from models_app.jobs.kind import JobFailed, job_kinds
from models_app.jobs.logs import log_read
from tests.factories.jobs import claimed
from workers.inline import InlineAttempt, run_together

pytestmark = pytest.mark.django_db


def run(team, **params):
    job = claimed(team, kind="ping", params=params)
    InlineAttempt(job).run()
    job.refresh_from_db()
    return job


def test_comes_back_with_its_text(team):
    job = run(team, text="hello")

    assert (job.state, job.result) == ("succeeded", {"text": "hello"})
    assert job.attempts.get().ended_at is not None


def test_a_failure_is_told_with_its_log(team, monkeypatch):
    def fail(self, params, inputs, ctx):
        ctx.log("before")
        raise JobFailed("It cannot be done.", reason="config_invalid")

    monkeypatch.setattr(type(job_kinds.get("ping")), "run", fail)
    job = run(team)

    assert (job.state, job.reason_code) == ("failed", "config_invalid")
    assert [line.text for line in log_read(job=job)] == ["before", "It cannot be done."]


def test_an_error_nobody_expected_ends_it_with_its_trace(team, monkeypatch):
    def fail(self, params, inputs, ctx):
        raise RuntimeError("boom")

    monkeypatch.setattr(type(job_kinds.get("ping")), "run", fail)
    job = run(team)

    assert (job.state, job.reason) == ("failed", "RuntimeError: boom")
    assert "Traceback" in log_read(job=job)[-1].text


def test_a_lost_lease_leaves_no_trace(team):
    from tests.factories.jobs import expire

    job = claimed(team, kind="ping", params={})
    expire(job)
    InlineAttempt(job).run()

    job.refresh_from_db()
    assert (job.state, job.result) == ("running", None)


def test_one_that_spoils_the_common_end_fails_alone(team, monkeypatch):
    def apply(self, params, job, result):
        if params.text == "bad":
            raise IntegrityError("it is there already")
        return result

    monkeypatch.setattr(type(job_kinds.get("ping")), "apply", apply)
    jobs = [claimed(team, kind="ping", params={"text": text}) for text in ("a", "bad", "c")]
    run_together(jobs)

    for job in jobs:
        job.refresh_from_db()
    # Nothing was stored of the bad one: its lease runs out.
    assert [job.state for job in jobs] == ["succeeded", "running", "succeeded"]

"""Texts of a model on their way from the spool to the table: once, masked, only by the holder."""

import json

import pytest

from models_app.core.errors import StaleEpoch
from models_app.jobs import logs, samples
from models_app.jobs.models import TextSample
from tests.factories.logs import end, held_job, next_attempt
from tests.workers.test_spool import event, log
from workers.late import clear_ended
from workers.shipping import Shipper
from workers.spool import attempt_folder

pytestmark = pytest.mark.django_db(transaction=True)
AT = "2026-01-01T00:00:00.000Z"


@pytest.fixture
def job(team):
    return held_job(team)


@pytest.fixture
def shipper(job, tmp_path):
    return Shipper(job, tmp_path)


def sample(step, text, place=0, prompt=""):
    return event("sample", at=AT, step=step, place=place, prompt=prompt, text=text)


def ship(shipper, *events):
    with shipper.spool.path.open("ab") as spool:
        spool.write(b"".join(events))
    shipper.drain()


def stored(job):
    rows = TextSample.objects.filter(job=job).order_by("step", "place")
    return [(row.step, row.place, row.prompt, row.text) for row in rows]


def test_a_step_that_is_done_again_replaces_its_texts(shipper, job):
    ship(shipper, sample(5, "a"), sample(5, "b", 1), sample(10, "c"), sample(10, "d"))
    ship(shipper, sample(10, "e", prompt="p"))

    assert stored(job) == [(5, 0, "", "a"), (5, 1, "", "b"), (10, 0, "p", "e")]


def test_what_is_secret_is_masked_and_what_cannot_be_stored_replaced(shipper, job, tmp_path):
    given = {"inputs": {"api_token": "sesame-open-up"}}
    (tmp_path / "job.json").write_text(json.dumps(given))
    ship(
        shipper,
        sample(1, "it wrote sesame-open-up\x00 and\r\nmore \ud800", prompt="say sesame-open-up"),
    )
    (_, _, prompt, text) = stored(job)[0]

    assert "sesame" not in prompt + text
    assert text.endswith("\u2400 and\r\nmore ?")


def test_half_a_key_that_a_model_wrote_hides_no_line_of_the_log(shipper, job):
    key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow"
    ship(shipper, log("before"), sample(1, key), log("after"))

    assert "MIIEow" not in stored(job)[0][3]
    texts = [line.text for line in logs.log_read(job=job, limit=10)]
    assert texts == ["before", "after"]


def test_only_the_attempt_that_holds_the_job_may_store(job):
    row = {"step": 1, "place": 0, "prompt": "", "text": "late", "at": AT}
    next_attempt(job)

    with pytest.raises(StaleEpoch):
        samples.samples_append(job=job, rows=[row])
    assert stored(job) == []


def test_what_a_killed_worker_left_fills_only_gaps(job, tmp_path, settings):
    settings.DATA_DIR = tmp_path
    folder = attempt_folder(job.pk, 1)
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(sample(5, "old") + sample(10, "left"))
    newer = next_attempt(job)
    samples.samples_append(
        job=newer, rows=[{"step": 5, "place": 0, "prompt": "", "text": "new", "at": AT}]
    )
    end(newer)
    clear_ended()

    assert stored(job) == [(5, 0, "", "new"), (10, 0, "", "left")]


def test_of_many_steps_even_ones_are_offered(job):
    rows = [
        {"step": step, "place": 0, "prompt": "", "text": "x", "at": AT} for step in range(1, 1001)
    ]
    samples.samples_append(job=job, rows=rows)
    steps = samples.sample_steps(job=job, most=11)

    assert steps == [1, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]
    assert len(samples.sample_steps(job=job, most=1000)) == 1000

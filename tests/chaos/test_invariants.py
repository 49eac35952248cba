"""The invariants themselves: quiet over good facts, red over each doctored one."""

import copy
import datetime as dt

import pytest

from tests.chaos.facts import Facts
from tests.chaos.invariants import INVARIANTS, broken
from tests.chaos.invariants.versions import versions_are_whole, weights_are_equal
from tests.chaos.load import TRAINING, Load, ShortJob, chain

pytestmark = pytest.mark.nodb

STEPS, WIDTH, SEED = 4, 2, 5
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def load() -> Load:
    params = {"steps": STEPS, "lines_per_step": WIDTH, "seed": SEED}
    found = Load(None, 1, training={**TRAINING, "steps": 20, "log_every": 10})
    found.shorts = {1: ShortJob(1, params, {"succeeded"})}
    found.trainings = [2]
    return found


def at(second: float) -> dt.datetime:
    return START + dt.timedelta(seconds=second)


def good() -> Facts:
    """Job 1: two attempts, the second goes on after step 2. Job 2: a training."""
    digests = chain(SEED, STEPS)
    told = [(1, step, line) for step in (1, 2, 3) for line in (1, 2)]
    told += [(2, step, line) for step in (3, 4) for line in (1, 2)]
    stamp = [f"2026-01-01T00:00:{number:02}.000Z" for number in range(20)]
    row = {"epoch": 1, "reason_code": "", "reason": "", "lease_until": None, "result": {}}
    attempt = {"job_id": 1, "reason_code": "", "ended_at": at(9)}
    return Facts(
        jobs={
            1: {**row, "id": 1, "state": "succeeded", "epoch": 2, "log_seq": len(told),
                "result": {"digest": digests[-1]}},
            2: {**row, "id": 2, "state": "succeeded", "log_seq": 0},
        },
        attempts={
            1: [
                {**attempt, "epoch": 1, "started_at": at(0), "ended_at": at(4),
                 "reason_code": "killed"},
                {**attempt, "epoch": 2, "started_at": at(5)},
            ],
            2: [{**attempt, "epoch": 1, "started_at": at(1)}],
        },
        chunks={1: [{"first_seq": 1, "last_seq": 6}, {"first_seq": 7, "last_seq": 10}]},
        values={
            1: [{"step": step, "value": int(digests[step][:4], 16) / 65536}
                for step in range(1, STEPS + 1)],
        },
        losses={2: [{"step": 10, "value": 1.0}, {"step": 20, "value": 0.5}]},
        checkpoints={1: [{"epoch": 1, "step": 2, "path": "p", "digest": digests[2]}]},
        endings={1: [{"action": "job.succeeded"}], 2: [{"action": "job.succeeded"}]},
        lines={
            1: [[number, stamp[number], epoch, "job", "info", f"step {step} line {line} of 2"]
                for number, (epoch, step, line) in enumerate(told, start=1)],
            2: [],
        },
        versions=[{"id": 7, "number": 1, "state": "ready", "produced_by_id": 2, "manifest": {}}],
        runs={(1, 1): {100}, (1, 2): {101}},
    )  # fmt: skip


def test_good_facts_break_nothing():
    assert broken(good(), load()) == []


def lose_job(facts: Facts) -> None:
    del facts.jobs[1]


def stay_running(facts: Facts) -> None:
    facts.jobs[1]["state"] = "running"


def fail(facts: Facts) -> None:
    facts.jobs[1]["state"] = "failed"


def end_twice(facts: Facts) -> None:
    facts.endings[1].append({"action": "job.succeeded"})


def change_result(facts: Facts) -> None:
    facts.jobs[1]["result"] = {"digest": "0" * 64}


def save_wrongly(facts: Facts) -> None:
    facts.checkpoints[1][0]["digest"] = "0" * 64


def lose_value(facts: Facts) -> None:
    facts.values[1].pop()


def lose_loss(facts: Facts) -> None:
    facts.losses[2].pop()


def skip_epoch(facts: Facts) -> None:
    facts.attempts[1].pop(0)


def overlap_in_the_table(facts: Facts) -> None:
    facts.attempts[1][0]["ended_at"] = at(6)


def never_end(facts: Facts) -> None:
    facts.attempts[1][0]["ended_at"] = None


def run_twice(facts: Facts) -> None:
    facts.runs[1, 2] = {101, 102}


def overlap_on_the_machine(facts: Facts) -> None:
    facts.overlaps.append("job 1")


def lose_line(facts: Facts) -> None:
    facts.lines[1].pop(3)


def double_line(facts: Facts) -> None:
    facts.lines[1].insert(3, list(facts.lines[1][3]))


def swap_lines(facts: Facts) -> None:
    lines = facts.lines[1]
    lines[1][5], lines[2][5] = lines[2][5], lines[1][5]


def speak_from_the_grave(facts: Facts) -> None:
    facts.lines[1][5][1] = "2026-01-01T00:00:59.000Z"


def lose_what_was_saved(facts: Facts) -> None:
    """Attempt 1 saved step 2; nothing of that step was stored."""
    kept = [line for line in facts.lines[1] if not (line[2] == 1 and "step 1 " not in line[5])]
    facts.lines[1] = [[number, *line[1:]] for number, line in enumerate(kept, start=1)]
    facts.jobs[1]["log_seq"] = len(kept)
    facts.chunks[1] = [{"first_seq": 1, "last_seq": len(kept)}]


@pytest.mark.parametrize(
    ("doctor", "invariant"),
    [
        (lose_job, "every_accepted_job_is_there"),
        (stay_running, "every_job_ends_as_it_may"),
        (fail, "every_job_ends_as_it_may"),
        (end_twice, "every_job_ends_once"),
        (change_result, "a_result_is_that_of_an_undisturbed_run"),
        (save_wrongly, "checkpoints_belong_to_the_work"),
        (lose_value, "metrics_are_complete"),
        (lose_loss, "metrics_are_complete"),
        (skip_epoch, "attempts_follow_one_another"),
        (overlap_in_the_table, "attempts_follow_one_another"),
        (never_end, "attempts_follow_one_another"),
        (run_twice, "an_attempt_starts_once"),
        (overlap_on_the_machine, "no_two_attempts_run_at_once"),
        (lose_line, "numbers_have_no_gap"),
        (lose_line, "lines_are_there_once_and_in_order"),
        (double_line, "lines_are_there_once_and_in_order"),
        (swap_lines, "lines_are_there_once_and_in_order"),
        (speak_from_the_grave, "no_attempt_speaks_after_the_next_one"),
        (lose_what_was_saved, "what_was_saved_was_told"),
    ],
)
def test_a_doctored_fact_turns_its_invariant_red(doctor, invariant):
    facts = copy.deepcopy(good())
    doctor(facts)

    assert any(text.startswith(f"{invariant}: ") for text in broken(facts, load()))


def test_every_invariant_is_among_the_doctored_ones():
    marks = test_a_doctored_fact_turns_its_invariant_red.pytestmark
    named = {name for mark in marks for _, name in mark.args[1]}

    assert {invariant.__name__ for invariant in INVARIANTS} == named


class TestVersions:
    def test_other_weights_are_noticed(self):
        facts = good()
        facts.versions[0]["manifest"] = {"model.safetensors": {"sha256": "a" * 64}}

        assert weights_are_equal(facts, load(), "a" * 64) == []
        assert weights_are_equal(facts, load(), "b" * 64)

    def test_a_damaged_or_missing_file_is_noticed(self, tmp_path):
        facts = good()
        facts.versions[0]["manifest"] = {"model.safetensors": {"sha256": "a" * 64}}

        assert versions_are_whole(facts, tmp_path)

    def test_a_version_without_weights_or_shown_too_early_is_noticed(self, tmp_path):
        facts = good()
        assert versions_are_whole(facts, tmp_path)
        facts.versions[0] |= {"state": "pending", "manifest": {"x": {"sha256": "a"}}}
        assert versions_are_whole(facts, tmp_path)

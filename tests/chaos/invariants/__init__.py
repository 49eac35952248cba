"""What must hold after every run, whatever was broken. Each returns what does not hold."""

from collections.abc import Callable

from tests.chaos.facts import Facts
from tests.chaos.invariants import attempts, jobs, logs
from tests.chaos.load import Load

Invariant = Callable[[Facts, Load], list[str]]

INVARIANTS: tuple[Invariant, ...] = (
    jobs.every_accepted_job_is_there,
    jobs.every_job_ends_as_it_may,
    jobs.every_job_ends_once,
    jobs.a_result_is_that_of_an_undisturbed_run,
    jobs.checkpoints_belong_to_the_work,
    jobs.metrics_are_complete,
    attempts.attempts_follow_one_another,
    attempts.an_attempt_starts_once,
    attempts.no_two_attempts_run_at_once,
    logs.numbers_have_no_gap,
    logs.lines_are_there_once_and_in_order,
    logs.no_attempt_speaks_after_the_next_one,
    logs.what_was_saved_was_told,
)


def broken(facts: Facts, load: Load) -> list[str]:
    """All violations, each with the name of its invariant."""
    return [
        f"{invariant.__name__}: {text}"
        for invariant in INVARIANTS
        for text in invariant(facts, load)
    ]

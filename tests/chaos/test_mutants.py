"""Chaos notices a missing safeguard: a worker without it is stopped for three leases.

Minutes, and it runs a product that is broken on purpose, hence `make chaos-mutants` alone.
"""

import os
import signal

import pytest

from tests.chaos.facts import gather
from tests.chaos.invariants import broken
from tests.chaos.load import Load
from tests.chaos.site import HOME, LEASE_S, chaos_site
from tests.chaos.watch import Watch, running_children
from tests.flows.site import OVER, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nodb,
    pytest.mark.skipif("CHAOS" not in os.environ, reason="a minute each: run `make chaos-mutants`"),
]


#: What is red when two attempts run at once, whatever comes of it.
AT_ONCE = {"no_two_attempts_run_at_once", "no_attempt_speaks_after_the_next_one"}


def violations(mutant: str) -> list[str]:
    """What is broken after a worker was stopped in the middle of a job."""
    command = ["-m", "tests.chaos.mutants", mutant] if mutant else None
    with chaos_site() as site:
        site.stack.wait_ready()
        node = site.start_node("node-b", **({"command": command} if command else {}))
        site.api.post(f"nodes/{HOME}/cordon")
        load = Load(site, 1)
        with Watch(site) as watch:
            job = load.short(steps=600, step_ms=50, checkpoint_every=10)
            until(lambda: (site.api.get(f"jobs/{job.id}")["step"] or 0) > 20, "it works on node-b")
            os.kill(node.pid, signal.SIGSTOP)
            site.api.post(f"nodes/{HOME}/uncordon")
            until(lambda: _epoch(site, job.id) > 1, f"{HOME} has taken it over", 10 * LEASE_S)
            until(lambda: len(_told(site, job.id)) > 1, "the second attempt speaks")
            os.kill(node.pid, signal.SIGCONT)
            until(lambda: site.api.get(f"jobs/{job.id}")["state"] in OVER, "it ends")
            until(lambda: not _children(site, job.id), "its children end", 60)
            found = broken(gather(site, load, watch), load)
        site.close()
    return found


def test_the_whole_product_breaks_nothing():
    assert violations("") == []


def test_without_the_childs_watchdog_two_attempts_run_at_once_without_effect():
    found = names(violations("without_watchdog"))

    assert "no_two_attempts_run_at_once" in found
    assert found <= AT_ONCE


def test_without_the_fence_a_lost_attempt_has_effects():
    found = names(violations("without_fence"))

    assert found - AT_ONCE, found


def names(found: list[str]) -> set[str]:
    print(*found, sep="\n")
    return {text.partition(":")[0] for text in found}


def _epoch(site, job: int) -> int:
    return int(site.truth.one("SELECT epoch FROM jobs_job WHERE id = %s", job)["epoch"])


def _told(site, job: int) -> set[int]:
    return {line[2] for line in site.lines(job) if line[3] == "job"}


def _children(site, job: int) -> list[tuple[int, int]]:
    return [key for key in running_children(site.stack.data_dir) if key[0] == job]

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
from tests.chaos.watch import Watch
from tests.flows.site import OVER, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nodb,
    pytest.mark.skipif("CHAOS" not in os.environ, reason="a minute each: run `make chaos-mutants`"),
]


def violations(mutant: str) -> list[str]:
    """What is broken after a worker was stopped in the middle of a job."""
    command = ["-m", "tests.chaos.mutants", mutant] if mutant else None
    with chaos_site() as site:
        site.stack.wait_ready()
        node = site.start_node("node-b", **({"command": command} if command else {}))
        site.api.post(f"nodes/{HOME}/cordon")
        load = Load(site, 1)
        with Watch(site) as watch:
            job = load.short(steps=400, step_ms=50, checkpoint_every=10)
            until(lambda: (site.api.get(f"jobs/{job.id}")["step"] or 0) > 20, "it works on node-b")
            os.kill(node.pid, signal.SIGSTOP)
            site.api.post(f"nodes/{HOME}/uncordon")
            until(lambda: _epoch(site, job.id) > 1, f"{HOME} has taken it over", 10 * LEASE_S)
            until(lambda: _over(site, job.id), "it ends there")
            os.kill(node.pid, signal.SIGCONT)
            until(lambda: _idle(site, "node-b"), "node-b has done what it had to do")
            until(lambda: _over(site, job.id), "it has ended, again if need be")
            found = broken(gather(site, load, watch), load)
        site.close()
    return found


def test_the_whole_product_breaks_nothing():
    assert violations("") == []


def test_without_the_childs_watchdog_two_attempts_run_at_once():
    found = names(violations("without_watchdog"))

    assert "no_two_attempts_run_at_once" in found
    assert "every_job_ends_once" not in found  # that is what the fence is for


def test_without_the_fence_a_lost_attempt_ends_the_job_once_more():
    assert "every_job_ends_once" in names(violations("without_fence"))


def names(found: list[str]) -> set[str]:
    print(*found, sep="\n")
    return {text.partition(":")[0] for text in found}


def _epoch(site, job: int) -> int:
    return int(site.truth.one("SELECT epoch FROM jobs_job WHERE id = %s", job)["epoch"])


def _over(site, job: int) -> bool:
    return site.api.get(f"jobs/{job}")["state"] in OVER


def _idle(site, name: str) -> bool:
    query = (
        "SELECT 1 FROM pools_node WHERE name = %s AND used_slots = 0"
        " AND last_seen_at > clock_timestamp() - interval '3 s'"
    )
    return site.truth.one(query, name) is not None

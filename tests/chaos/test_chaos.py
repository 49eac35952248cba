"""A short run with a fixed seed; the long ones are `make chaos`."""

from collections.abc import Iterator

import pytest

from tests.chaos.load import MODEL, TRAINING, Load
from tests.chaos.run import Run
from tests.chaos.site import ChaosSite, chaos_site
from tests.chaos.undisturbed import Undisturbed
from tests.flows.site import TEAM

pytestmark = [pytest.mark.slow, pytest.mark.nodb]

SEED = 4
FAULTS = ["worker_killed", "backend_terminated"]
SMALL = {
    **TRAINING, "steps": 90, "warmup_steps": 10, "checkpoint_every": 10, "evaluate_every": 45,
}  # fmt: skip


@pytest.fixture
def site() -> Iterator[ChaosSite]:
    """Two nodes and somebody who works on them."""
    with chaos_site() as site:
        site.start_node("node-b", {"zone": "b"}, wait=False)
        site.stack.wait_ready()
        yield site


def test_everything_holds_after_a_killed_worker_and_lost_connections(site, tmp_path, capsys):
    dataset = site.dataset()["id"]
    site.api.post("models", {"team": TEAM, "name": MODEL})
    load = Load(site, SEED, dataset, training=SMALL, most_trainings=1, gap_s=3.0)
    undisturbed = Undisturbed(site, load.train(), tmp_path / "undisturbed")
    try:
        run = Run(site, load, SEED, undisturbed.weights)
        outcome = run.go(FAULTS)
    finally:
        undisturbed.close()

    assert outcome.violations == []
    assert outcome.faults == FAULTS
    assert outcome.attempts > outcome.jobs
    with capsys.disabled():
        healed = ", ".join(f"{wound.fault} {wound.healed_s:.1f} s" for wound in outcome.wounds)
        print(f"\nchaos: {outcome.jobs} jobs, {outcome.attempts} attempts; back at work: {healed}")

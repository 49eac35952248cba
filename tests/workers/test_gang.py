"""Where the parts of a job meet: an address that means "this machine" is no address for another."""

import pytest

from models_app.jobs.kind import JobFailed
from workers.gang import _check_reach, machine

pytestmark = pytest.mark.nodb
HERE, AWAY = machine(), "another boot net:[1]"


@pytest.mark.parametrize(
    ("host", "where", "own"),
    [("127.0.0.1", HERE, "127.0.0.1"), ("10.0.0.1", AWAY, "10.0.0.2"), ("a.lan", AWAY, "b.lan")],
)
def test_addresses_that_reach_are_taken(host, where, own):
    _check_reach({"host": host, "machine": where}, own)


@pytest.mark.parametrize(
    ("host", "own", "whose"),
    [
        ("127.0.0.1", "10.0.0.2", "node of part 1"),
        ("localhost", "10.0.0.2", "node of part 1"),
        ("::1", "10.0.0.2", "node of part 1"),
        ("10.0.0.1", "127.0.0.1", "this node"),
    ],
)
def test_loopback_is_refused_between_machines(host, own, whose):
    with pytest.raises(JobFailed, match="SLIPWAY_NODE_ADDRESS") as refused:
        _check_reach({"host": host, "machine": AWAY}, own)

    assert whose in refused.value.message
    assert refused.value.permanent

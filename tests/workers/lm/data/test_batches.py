"""Batches follow from seed and step alone."""

import numpy as np
import pytest
import torch

from workers.lm.data.batches import Batches, FixedWindows
from workers.lm.data.token_store import TokenStore

pytestmark = pytest.mark.nodb


@pytest.fixture
def store():
    return TokenStore(np.arange(101, dtype=np.uint16), np.array([0, 101]), "x", 0)


@pytest.mark.parametrize("sampling", ["windows", "epochs"])
def test_a_step_is_the_same_whenever_it_is_asked_for(store, sampling):
    def draw(seed):
        return Batches(store, 10, 4, seed, sampling)

    late = draw(7).batch(1_000_000)
    fresh = draw(7)
    fresh.batch(3)
    assert torch.equal(fresh.batch(1_000_000)[0], late[0])
    assert not torch.equal(draw(8).batch(1_000_000)[0], late[0])
    assert torch.equal(late[0] + 1, late[1])
    assert late[0].shape == (4, 10)


@pytest.mark.parametrize("sampling", ["windows", "epochs"])
def test_ranks_share_the_batch_of_one_process(store, sampling):
    whole = Batches(store, 10, 4, 7, sampling).batch(5)[0]
    parts = [
        Batches(store, 10, 4, 7, sampling, rank=rank, world=2).batch(5)[0] for rank in range(2)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_windows_reach_both_ends(store):
    starts = np.concatenate([Batches(store, 100, 8, 1).starts(step) for step in range(3)])
    assert set(starts) == {0}
    starts = np.concatenate([Batches(store, 98, 8, 1).starts(step) for step in range(10)])
    assert set(starts) == {0, 1, 2}


def test_an_epoch_takes_each_sequence_once(store):
    batches = Batches(store, 10, 4, 7, "epochs")  # ten sequences
    starts = np.concatenate([batches.starts(step) for step in range(5)])
    assert sorted(starts[:10]) == sorted(starts[10:]) == list(range(0, 100, 10))
    assert starts[:10].tolist() != starts[10:].tolist()


def test_what_cannot_be_drawn_is_refused(store):
    with pytest.raises(ValueError, match="no sequence of 101"):
        Batches(store, 101, 4, 7)
    with pytest.raises(ValueError, match="shared by 3"):
        Batches(store, 10, 4, 7, world=3)


def test_validation_windows_are_spread_and_bounded(store):
    found = list(FixedWindows(store, 10, 4, 2))
    assert [batch[0].shape for batch in found] == [(4, 10), (4, 10)]
    assert found[0][0][0, 0] == 0
    assert found[-1][1][-1, -1] == 100
    short = list(FixedWindows(store, 500, 4, 2))
    assert short[0][0].shape == (1, 100)

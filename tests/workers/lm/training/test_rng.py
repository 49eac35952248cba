"""All generators go on where they were."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from workers.lm.training.rng import capture_rng, restore_rng, seed_everything

pytestmark = pytest.mark.nodb


def draw():
    return (
        random.random(), random.gauss(0, 1), np.random.random(), np.random.standard_normal(),
        torch.rand(3).tolist(),
    )  # fmt: skip


def test_states_survive_files():
    seed_everything(7)
    draw()
    tensors, rest = capture_rng()
    stored, told = save(tensors), json.dumps(rest)
    expected = [draw() for _ in range(3)]
    seed_everything(8)
    restore_rng(load(stored), json.loads(told))
    assert [draw() for _ in range(3)] == expected

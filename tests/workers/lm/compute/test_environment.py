"""The environment record holds what a repetition needs."""

import json

import pytest
import torch

from workers.lm.compute.environment import environment_record
from workers.lm.compute.precision import autocast, bf16_pays
from workers.lm.compute.threads import use_threads

pytestmark = pytest.mark.nodb


def test_record_is_plain_and_complete():
    use_threads(1)
    record = json.loads(json.dumps(environment_record()))
    assert record["packages"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["threads"]["torch"] == 1
    assert record["threads"]["RAYON_NUM_THREADS"] == "1"
    assert record["system"]["machine"]
    assert record["processor"]["flags"]


def test_precision_changes_the_products_only():
    device = torch.device("cpu")
    matrix = torch.ones(2, 2)
    with autocast(device, "bf16"):
        assert (matrix @ matrix).dtype == torch.bfloat16
    with autocast(device, "fp32"):
        assert (matrix @ matrix).dtype == torch.float32
    assert bf16_pays(device) in (True, False)

"""Windows count every token once; sums equal those of plain scoring."""

import pytest
import torch
from torch.nn import functional

from tests.workers.lm.families.test_transformer import tiny_model
from workers.lm.evaluation.scoring import Scorer, windows_of
from workers.lm.tokenizers.bytepair import learn_bytepair

pytestmark = pytest.mark.nodb


@pytest.mark.parametrize("count", [2, 3, 8, 9, 10, 16, 17, 40, 101])
@pytest.mark.parametrize("length", [1, 2, 7, 8])
def test_windows_count_each_token_once_with_context(count, length):
    tokens = list(range(count))
    counted = []
    for window in windows_of(0, tokens, length):
        assert len(window.tokens) <= length + 1
        assert window.counted_from >= 1
        if window.tokens[0] != 0:
            assert window.counted_from > length // 2 - 1
        counted += window.tokens[window.counted_from :]
    assert counted == tokens[1:]


def test_sums_equal_plain_scoring():
    model = tiny_model(learn_bytepair(iter(["words"]), 270)).eval()
    documents = [torch.randint(0, 260, (size,)).tolist() for size in (2, 5, 17, 9, 2, 16)]
    found = list(Scorer(model, 16).score(documents))
    for tokens, nats in zip(documents, found, strict=True):
        ids = torch.tensor([tokens])
        with torch.no_grad():
            scores = model(input_ids=ids[:, :-1]).logits[0]
        expected = functional.cross_entropy(scores, ids[0, 1:], reduction="sum")
        assert nats == pytest.approx(float(expected), rel=1e-5)

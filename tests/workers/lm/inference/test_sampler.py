"""Sampling parameters against distributions worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest
import torch

from tests.workers.lm.inference.fakes import Letters
from workers.lm.inference.chance import uniform
from workers.lm.inference.errors import GenerationFailed
from workers.lm.inference.output import Output
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.sampler import sample
from workers.lm.inference.sequence import Sequence

PROBABILITIES = [0.5, 0.25, 0.15, 0.1]
LOGITS = torch.tensor([math.log(p) for p in PROBABILITIES])


def sequence(seed: int | None = 1, index: int = 0, **values: Any) -> Sequence:
    params = SamplingParams(max_tokens=10, seed=seed, **values)
    return Sequence(
        [0], params, lambda event: None, Output(Letters(), [0], params), seed_index=index
    )


def draws(count: int = 4000, logits: torch.Tensor = LOGITS, **values: Any) -> list[float]:
    """Relative frequency of each token."""
    seen = Counter(said(sequence(**values), count, logits))
    return [seen[token] / count for token in range(logits.numel())]


def said(one: Sequence, count: int, logits: torch.Tensor = LOGITS) -> list[int]:
    """One token after another of the same distribution."""
    for _ in range(count):
        one.take(sample(logits[None], [one])[0][0])
    return one.tokens


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [0.5, 0.25, 0.15, 0.1]),
        ({"top_k": 2}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_k": 1}, [1, 0, 0, 0]),
        ({"top_p": 0.75}, [2 / 3, 1 / 3, 0, 0]),
        ({"top_p": 0.76}, [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0]),
        ({"top_p": 0.0}, [1, 0, 0, 0]),
        ({"min_p": 0.4}, [2 / 3, 1 / 3, 0, 0]),
        ({"min_p": 1.0}, [1, 0, 0, 0]),
        ({"temperature": 0.5}, [p * p / 0.345 for p in PROBABILITIES]),
        ({"top_k": 3, "top_p": 0.8}, [2 / 3, 1 / 3, 0, 0]),
        ({"logit_bias": {0: -100.0}}, [0, 0.5, 0.3, 0.2]),
        ({"logit_bias": {3: 100.0}}, [0, 0, 0, 1]),
    ],
)
def test_frequencies(values: dict[str, Any], expected: list[float]) -> None:
    assert draws(**values) == pytest.approx(expected, abs=0.03)


def test_top_p_over_a_flat_vocabulary_larger_than_the_short_list() -> None:
    seen = draws(count=3000, logits=torch.zeros(1000), top_p=0.5)
    assert sum(1 for share in seen if share) > 400
    assert sum(seen[:500]) == pytest.approx(1) or sum(1 for share in seen if share) <= 500


@pytest.mark.parametrize(
    ("presence", "frequency", "expected"),
    [(2.0, 0.0, [0, 1, 2, 3]), (0.0, 0.5, [0, 0, 1, 0]), (0.5, 0.5, [0, 1, 0, 2])],
)
def test_penalties_push_down_what_was_said(
    presence: float, frequency: float, expected: list[int]
) -> None:
    one = sequence(temperature=0, presence_penalty=presence, frequency_penalty=frequency)
    assert said(one, 4) == expected


def test_greedy_takes_the_first_of_equals_like_arg_max() -> None:
    assert sample(torch.zeros(1, 9), [sequence(temperature=0)])[0][0] == 0


def test_a_seed_decides_and_each_choice_has_its_own_stream() -> None:
    def run(seed: int | None, index: int) -> list[int]:
        return said(sequence(seed=seed, index=index), 50)

    assert run(5, 0) == run(5, 0)
    assert run(5, 0) != run(5, 1)
    assert run(5, 0) != run(6, 0)
    assert run(None, 0) != run(None, 0)


def test_random_numbers_are_of_their_place_and_of_nothing_else() -> None:
    numbers = [uniform(7, stream, place) for stream in range(4) for place in range(2500)]
    assert numbers[2503] == uniform(7, 1, 3)
    assert len(set(numbers)) == len(numbers)
    assert 0 <= min(numbers) < 0.01 < 0.99 < max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.015)
    # What one place drew says nothing of the next.
    pairs = itertools.pairwise(numbers)
    assert sum(a * b for a, b in pairs) / len(numbers) == pytest.approx(0.25, abs=0.015)
    # The numbers that answers in flight were begun with: another replica must draw them too.
    assert uniform(1, 0, 0) == 0.9327598569773319


def test_log_probabilities_are_the_models_own() -> None:
    one = sequence(temperature=0.1, top_k=1, top_logprobs=2, logit_bias={3: 100.0})
    token, score = sample(LOGITS[None], [one])[0]
    assert token == 3
    assert score.logprob == pytest.approx(math.log(0.1))
    assert [entry[0] for entry in score.top] == [0, 1]
    assert [entry[1] for entry in score.top] == pytest.approx([math.log(0.5), math.log(0.25)])


def test_a_bad_row_fails_alone() -> None:
    rows = torch.stack([LOGITS, torch.full((4,), float("nan")), LOGITS])
    results = sample(rows, [sequence(temperature=0), sequence(), sequence(temperature=0)])
    assert results[0] == results[2] == (0, None)
    assert isinstance(results[1], GenerationFailed)


def test_an_impossible_token_still_has_a_number() -> None:
    logits = torch.tensor([0.0, float("-inf")])
    _, score = sample(logits[None], [sequence(temperature=0, top_logprobs=2)])[0]
    assert score.top[1] == (1, -9999.0)

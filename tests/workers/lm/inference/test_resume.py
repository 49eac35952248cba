"""An answer that was cut anywhere goes on as if it had never been interrupted."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.fakes import FakeRunner, Letters, counting
from workers.lm.inference.ask import Ask
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.engine import Engine
from workers.lm.inference.events import Delta, Event
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.params import SamplingParams

TEXT = TokenizerText(tiny.tokenizer())
PROMPT = tiny.tokenizer().encode("the quick brown fox")
LENGTH = 26


@cache
def engine() -> Engine:
    runner = PackedRunner(
        tiny.model("llama", seed=4), context_length=tiny.CONTEXT, max_slots=4, prefill_chunk=16
    )
    return Engine(runner, TEXT, {tiny.EOS})


def answer(engine: Engine, *asks: Ask, choices: int = 1) -> list[list[Delta]]:
    """The deltas of each choice, in order."""
    events: list[Event] = []
    tickets = engine.submit(list(asks), events.append, choices=choices)
    while engine.live:
        engine.step()
    assert all(isinstance(event, Delta) for event in events)
    return [[event for event in events if event.choice == ticket.choice] for ticket in tickets]


def text(deltas: list[Delta]) -> str:
    return "".join(delta.text for delta in deltas)


def tokens(deltas: list[Delta]) -> tuple[int, ...]:
    return tuple(token for delta in deltas for token in delta.token_ids)


def scores(deltas: list[Delta]) -> list[int]:
    return [score.token_id for delta in deltas for score in delta.scores]


@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "seed": 11},
        {"temperature": 1.4, "seed": 5, "top_p": 0.9, "top_k": 200},
        {"temperature": 1.4, "seed": 6, "ignore_eos": True},
        {"temperature": 0.0, "presence_penalty": 1.5, "frequency_penalty": 0.7},
        {"temperature": 1.0, "seed": 3, "frequency_penalty": 1.0, "top_logprobs": 2},
        {"temperature": 1.0, "seed": 3, "max_tokens": 17, "stop": ("never there",)},
    ],
)
def test_every_cut_gives_the_same_rest(values: dict[str, Any]) -> None:
    params = SamplingParams(**{"max_tokens": LENGTH, **values})
    (whole,) = answer(engine(), Ask(PROMPT, params))
    said = tokens(whole)
    assert len(said) == whole[-1].completion_tokens > 5
    for cut in range(len(said)):
        (rest,) = answer(engine(), Ask(PROMPT, params, prior=said[:cut]))
        assert tokens(rest) == said[cut:]
        assert text(whole[:cut]) + text(rest) == text(whole)
        assert [delta.completion_tokens for delta in rest] == [*range(cut + 1, len(said) + 1)]
        assert rest[-1].finish == whole[-1].finish


def spelled(prefix: list[int], words: bytes = "né你好 ab ENDé EN!D STOPab".encode()) -> list[float]:
    """A model that spells these bytes after its first token, one a token."""
    by_byte = _ids_of_bytes()
    place = len(prefix) - 1
    token = by_byte[words[place % len(words)]]
    return [9.0 if number == token else 0.0 for number in range(tiny.VOCABULARY)]


@cache
def _ids_of_bytes() -> dict[int, int]:
    return {
        TEXT.piece(token)[0]: token
        for token in range(2, tiny.VOCABULARY)
        if len(TEXT.piece(token)) == 1
    }


@pytest.mark.parametrize("stop", [(), ("END",), ("STOP",), ("STOPx", "!D STOP", "好 a!")])
@pytest.mark.parametrize("top_logprobs", [None, 1])
def test_characters_and_stop_strings_may_be_cut_in_the_middle(
    stop: tuple[str, ...], top_logprobs: int | None
) -> None:
    runner = FakeRunner(spelled, vocabulary=tiny.VOCABULARY, chunk=16)
    fake = Engine(runner, TEXT, {tiny.EOS})
    params = SamplingParams(max_tokens=35, temperature=0, stop=stop, top_logprobs=top_logprobs)
    (whole,) = answer(fake, Ask([5], params))
    said = tokens(whole)
    assert "\ufffd" not in text(whole)[:-1]
    assert not any(word in text(whole) for word in stop)
    for cut in range(len(said)):
        (rest,) = answer(fake, Ask([5], params, prior=said[:cut]))
        assert text(whole[:cut]) + text(rest) == text(whole)
        assert tokens(rest) == said[cut:]
        assert rest[-1].finish == whole[-1].finish


def test_each_choice_goes_on_with_its_own_random_numbers() -> None:
    params = SamplingParams(max_tokens=12, seed=9, ignore_eos=True)
    whole = answer(engine(), Ask(PROMPT, params), choices=3)
    assert len({tokens(one) for one in whole}) == 3
    cuts = (4, 0, 9)
    rest = answer(
        engine(),
        *(
            Ask(PROMPT, params, prior=tokens(one)[:cut], number=number, stream=number)
            for number, (one, cut) in enumerate(zip(whole, cuts, strict=True))
        ),
    )
    for one, other, cut in zip(whole, rest, cuts, strict=True):
        assert tokens(other) == tokens(one)[cut:]


@pytest.mark.parametrize(
    ("values", "finish"),
    [({"max_tokens": 4}, "length"), ({"max_tokens": 9, "stop": ("de",)}, "stop")],
)
def test_an_answer_that_was_over_is_not_gone_on_with(values: dict[str, Any], finish: str) -> None:
    """Its last words had arrived, the word that it was over had not."""
    runner = FakeRunner(counting)
    fake = Engine(runner, Letters(), ())
    params = SamplingParams(temperature=0, **values)
    (rest,) = answer(fake, Ask([1], params, prior=(1, 2, 3, 4)))
    assert rest == [Delta(0, "", 4, finish=finish)]
    assert runner.plans == []
    assert fake.stats().running == fake.stats().waiting == 0


def test_an_answer_that_ended_with_its_end_token_is_over() -> None:
    fake = Engine(FakeRunner(counting), Letters(), {7})
    params = SamplingParams(temperature=0, max_tokens=9)
    (rest,) = answer(fake, Ask([1], params, prior=(3, 7)))
    assert [delta.finish for delta in rest] == ["stop"]

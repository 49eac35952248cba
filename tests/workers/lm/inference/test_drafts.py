"""Guesses change how fast an answer comes, never what it says."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.lm.inference import tiny
from tests.workers.lm.inference.fakes import FakeRunner, Letters, continued, counting
from workers.lm.families.markov_folder import save_markov
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram
from workers.lm.inference.ask import Ask
from workers.lm.inference.detokenize import TokenizerText
from workers.lm.inference.drafts import (
    Drafter,
    NgramGuesser,
    Pace,
    PromptGuesser,
    PromptIndex,
    load_guesser,
    worth,
)
from workers.lm.inference.engine import Engine
from workers.lm.inference.errors import ModelRefused
from workers.lm.inference.events import Delta, Event
from workers.lm.inference.output import Output
from workers.lm.inference.packed import PackedRunner
from workers.lm.inference.params import SamplingParams
from workers.lm.inference.sequence import Sequence
from workers.lm.tokenizers.saved import save_tokenizer
from workers.lm.tokenizers.units import Units

TEXT = TokenizerText(tiny.tokenizer())


class Teacher:
    """Knows the answers, and is wrong now and then."""

    def __init__(self, answers: dict[tuple[int, ...], list[int]], errors: float) -> None:
        self._answers, self._errors = answers, errors
        self._chance = random.Random(1)

    def guess(self, sequence: Sequence, count: int) -> list[int]:
        answer = self._answers[(*sequence.prompt, sequence.seed_index)]
        said = len(sequence.tokens)
        return [
            (token + (self._chance.random() < self._errors)) % tiny.VOCABULARY
            for token in answer[said : said + self._chance.randint(0, count)]
        ]


def engine(runner: Any, drafter: Drafter | None) -> Engine:
    return Engine(runner, TEXT, {tiny.EOS}, drafter=drafter)


def answers(engine: Engine, asks: list[Ask], choices: int) -> list[Sequence]:
    """All at once, arriving while others run."""
    sequences = []
    for ask in asks:
        sequences += engine.submit([ask], lambda event: None, choices=choices)
        engine.step()
        engine.step()
    while engine.live:
        engine.step()
    return sequences


@cache
def runner(kind: str, **changes: Any) -> PackedRunner:
    model = tiny.model(kind, **changes)
    return PackedRunner(model, context_length=tiny.CONTEXT, max_slots=4, prefill_chunk=16)


KINDS = {
    "llama": {},
    "qwen2": {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    "mistral": {"sliding_window": 12},
    "gpt2": {},
    "gpt_neox": {},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "values",
    [
        {"temperature": 0.0},
        {"temperature": 1.0, "seed": 4, "top_p": 0.95},
        {"temperature": 0.8, "seed": 5, "frequency_penalty": 0.5, "top_logprobs": 1},
    ],
)
def test_answers_are_those_without_guesses(kind: str, values: dict[str, Any]) -> None:
    chance = random.Random(8)
    asks = [
        Ask(
            [chance.randrange(tiny.VOCABULARY) for _ in range(chance.choice([1, 5, 30]))],
            SamplingParams(max_tokens=chance.choice([1, 2, 30]), ignore_eos=True, **values),
        )
        for _ in range(6)
    ]
    own = runner(kind, **KINDS[kind])
    plain = answers(engine(own, None), asks, 2)
    known = {(*one.prompt, one.seed_index): one.tokens for one in plain}
    for errors in (0.0, 0.3):
        guessing = engine(own, Drafter(Teacher(known, errors), 5))
        for one, other in zip(plain, answers(guessing, asks, 2), strict=True):
            assert other.tokens == one.tokens
        assert guessing.gauges.accepted > 5
        assert (guessing.gauges.accepted == guessing.gauges.drafted) == (errors == 0)


def test_right_guesses_save_steps() -> None:
    ask = Ask([5, 6, 7], SamplingParams(max_tokens=60, temperature=0, ignore_eos=True))
    plain = answers(engine(runner("llama"), None), [ask], 1)
    known = {(*one.prompt, one.seed_index): one.tokens for one in plain}
    teacher = Teacher(known, 0.0)
    teacher._chance.randint = lambda low, high: high  # type: ignore[method-assign]
    guessing = engine(runner("llama"), Drafter(teacher, 5))
    assert answers(guessing, [ask], 1)[0].tokens == plain[0].tokens
    assert guessing.gauges.steps < 20


def test_every_token_of_a_step_is_told_apart_and_in_order() -> None:
    fake = Engine(FakeRunner(counting), Letters(), (), drafter=Drafter(PromptGuesser(), 4))
    events: list[Event] = []
    fake.submit([Ask([1], SamplingParams(max_tokens=40, temperature=0))], events.append)
    while fake.live:
        fake.step()
    assert fake.gauges.accepted > 10
    assert [event.token_ids for event in events if isinstance(event, Delta)] == [
        (token,) for token in continued([1], 40)
    ]
    assert [event.completion_tokens for event in events] == [*range(1, 41)]


@pytest.mark.parametrize("limit", [{"max_tokens": 7}, {"max_tokens": 400}])
def test_guesses_do_not_go_beyond_the_end(limit: dict[str, int]) -> None:
    fake = FakeRunner(counting, context=30)
    guessing = Engine(fake, Letters(), (), drafter=Drafter(PromptGuesser(), 9))
    one = guessing.submit([Ask([1], SamplingParams(temperature=0, **limit))], lambda event: None)
    while guessing.live:
        guessing.step()
    assert one[0].tokens == continued([1], min(29, limit["max_tokens"]))


def test_a_stop_string_in_the_middle_of_right_guesses_ends_the_answer_there() -> None:
    plain = Engine(FakeRunner(counting), Letters(), ())
    guessing = Engine(FakeRunner(counting), Letters(), (), drafter=Drafter(PromptGuesser(), 9))
    text = Letters().decode(continued([1], 40))
    params = SamplingParams(max_tokens=40, temperature=0, stop=(text[20:24],))
    ends = []
    for own in (plain, guessing):
        events: list[Delta] = []
        own.submit([Ask([1], params)], events.append)
        while own.live:
            own.step()
        ends.append(("".join(event.text for event in events), events[-1].completion_tokens,
                     events[-1].finish))  # fmt: skip
    assert ends[0] == ends[1]
    assert ends[0][2] == "stop"


def test_poor_guesses_are_given_up_and_tried_again_rarely() -> None:
    class Wrong:
        def guess(self, sequence: Sequence, count: int) -> list[int]:
            right = (sum(sequence.prompt + sequence.tokens) + len(sequence.tokens) + 1) % 16
            return [(right + 1) % 16] * count

    fake = Engine(FakeRunner(counting, context=1200), Letters(), (), drafter=Drafter(Wrong(), 8))
    fake.submit([Ask([1], SamplingParams(max_tokens=1000, temperature=0))], lambda event: None)
    while fake.live:
        fake.step()
    assert fake.gauges.accepted == 0
    assert fake.gauges.drafted < 25


def test_the_pace_follows_what_was_right() -> None:
    pace, own = Pace(), worth(1)
    for _ in range(12):
        pace.learn(4, 4, own)
    assert pace.length(8, own) == 8
    for _ in range(2):
        pace.learn(8, 0, own)
    assert 1 <= pace.length(8, own) <= 3
    # In a full step a row costs more, so less is guessed.
    assert pace.length(8, worth(16)) <= pace.length(8, own)


def test_runs_are_found_where_they_last_stood() -> None:
    index = PromptIndex()
    index.grow([1, 2, 3, 4, 9, 2, 3, 5, 6, 2, 3])
    assert index.follow(3) == [5, 6, 2]
    index.grow([4])
    assert index.follow(2) == [9, 2]  # the longest run that is known, not the last
    index.grow([8, 8])
    assert index.follow(2) == []
    index.grow([8])
    assert index.follow(4) == [8]


RHYME = "the quick brown fox jumps over the lazy dog. " * 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ngram_folder(tmp_path_factory.mktemp("ngram"), RHYME)


class TestNgram:
    def test_likely_tokens_are_the_most_probable_ones(self, folder: Path) -> None:
        guesser = load_guesser("acme/draft:v1", folder, tiny.tokenizer())
        assert isinstance(guesser, NgramGuesser)
        ids = tiny.tokenizer().encode(RHYME)
        for cut in range(30, 60):
            one = sequence(ids[:cut])
            guessed = guesser.guess(one, 4)
            reader = guesser._model.reader(ids[:cut])
            for token in guessed:
                assert token == int(reader.log_probs().argmax())
                reader.push(token)
            assert len(guessed) == 4

    def test_it_saves_steps_and_changes_nothing(self, folder: Path) -> None:
        ids = tiny.tokenizer().encode(RHYME)

        def knows(prefix: list[int]) -> list[float]:
            following = ids[len(prefix) % len(ids)]
            return [5.0 if token == following else 0.0 for token in range(tiny.VOCABULARY)]

        fake = FakeRunner(knows, vocabulary=tiny.VOCABULARY, context=128)
        guesser = load_guesser("acme/draft:v1", folder, tiny.tokenizer())
        guessing = Engine(fake, TEXT, (), drafter=Drafter(guesser, 4))
        params = SamplingParams(max_tokens=60, temperature=0)
        one = guessing.submit([Ask(ids[:6], params)], lambda event: None)[0]
        while guessing.live:
            guessing.step()
        assert one.tokens == ids[6:66]
        assert guessing.gauges.steps < 25

    def test_tokens_that_it_never_saw_end_its_guesses(self, folder: Path) -> None:
        guesser = load_guesser("acme/draft:v1", folder, tiny.tokenizer())
        assert guesser.guess(sequence([tiny.VOCABULARY + 7, tiny.BOS]), 4) == []

    def test_another_tokenizer_is_refused(self, folder: Path) -> None:
        other = tiny.tokenizer()
        other.add_tokens(["<extra>"])
        with pytest.raises(ModelRefused, match="another tokenizer"):
            load_guesser("acme/draft:v1", folder, other)

    def test_another_kind_of_model_is_refused(self, llama_dir: Path) -> None:
        with pytest.raises(ModelRefused, match=r"acme/draft:v1 is no n-gram model"):
            load_guesser("acme/draft:v1", llama_dir, tiny.tokenizer())


def ngram_folder(folder: Path, text: str) -> Path:
    """An n-gram model over the tiny tokenizer."""
    tokenizer = tiny.tokenizer()
    ids = np.array(tokenizer.encode(text))
    vocabulary = Vocabulary(size=len(tokenizer), begin=tiny.BOS, end=tiny.EOS)
    model = train_ngram(NgramSpec(order=4), ids, np.array([0, ids.size]), vocabulary)
    save_markov(folder, "ngram", Units(unit="bpe", sentences="document"), model)
    save_tokenizer(tokenizer, folder)
    return folder


def sequence(prompt: list[int]) -> Sequence:
    params = SamplingParams(max_tokens=10)
    return Sequence(prompt, params, lambda event: None, Output(TEXT, prompt, params))

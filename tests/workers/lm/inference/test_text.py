"""Characters and stop strings: nothing half, nothing lost, nothing too early."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.lm.inference import tiny
from workers.lm.inference.detokenize import IncrementalText, TokenizerText
from workers.lm.inference.stop import StopMatcher

TOKENIZER = tiny.tokenizer()
TEXT = TokenizerText(TOKENIZER)


def _streamed(ids: list[int], prompt: list[int] | None = None) -> list[str]:
    text = IncrementalText(TEXT, prompt or [])
    return [*(text.feed(token) for token in ids), text.flush()]


@pytest.mark.parametrize(
    "text", ["plain words", "naïve café", "你好 世界", "👩‍👩‍👧 family", "a\x00b", "ÿ"]
)
def test_deltas_hold_whole_characters(text: str) -> None:
    deltas = _streamed(TOKENIZER.encode(text))
    assert "".join(deltas) == text
    assert all("\ufffd" not in delta for delta in deltas)


@pytest.mark.parametrize("seed", range(30))
def test_random_bytes_give_the_same_text_streamed_and_whole(seed: int) -> None:
    chance = random.Random(seed)
    ids = [chance.randrange(tiny.VOCABULARY) for _ in range(150)]
    assert "".join(_streamed(ids)) == TEXT.decode(ids)


def test_bytes_that_never_become_a_character_are_not_held_for_ever() -> None:
    text = IncrementalText(TEXT, [])
    continuation = next(t for t in range(tiny.VOCABULARY) if TEXT.piece(t) == b"\x80")
    shown = "".join(text.feed(continuation) for _ in range(50))
    assert len(shown) >= 47
    assert len(shown + text.flush()) == 50


def test_pieces_are_the_bytes_of_the_text() -> None:
    ids = TOKENIZER.encode("über 世界")
    assert b"".join(TEXT.piece(token) for token in ids).decode() == "über 世界"


def test_a_sentencepiece_space_survives_after_the_prompt() -> None:
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE({"▁hi": 0, "▁you": 1, "<0xE4>": 2, "<0xBD>": 3, "<0xA0>": 4}, []))
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    text = TokenizerText(PreTrainedTokenizerFast(tokenizer_object=core))
    stream = IncrementalText(text, [0])
    assert [stream.feed(token) for token in (1, 2, 3, 4, 0)] == [" you", "", "", "你", " hi"]
    assert text.piece(2) == b"\xe4"
    assert text.piece(1) == b" you"


@given(
    text=st.text("abc", max_size=30),
    stops=st.lists(st.text("abc", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(1, 4), min_size=30, max_size=30),
)
def test_stop_strings_cut_the_text_wherever_the_tokens_end(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    def run(sizes: list[int]) -> tuple[str, str | None]:
        matcher, out, at = StopMatcher(stops), "", 0
        for size in sizes:
            shown = matcher.feed(text[at : at + size])
            out, at = out + shown, at + size
            assert not any(stop in out for stop in stops)
            if matcher.matched:
                return out, matcher.matched
        return out + matcher.flush(), None

    pieces, matched = run(cuts)
    letters, matched_too = run([1] * len(text))
    assert (pieces, matched) == (letters, matched_too)
    ends = [(text.find(stop) + len(stop), stop) for stop in stops if stop in text]
    if not ends:
        assert pieces == text
    else:
        assert text.startswith(pieces + matched)
        assert len(pieces + matched) == min(ends)[0]


def test_the_beginning_of_a_stop_string_is_held_back() -> None:
    matcher = StopMatcher(["END"])
    assert [matcher.feed(part) for part in ("aE", "N", "x", "EN", "D!")] == ["a", "", "ENx", "", ""]
    assert matcher.matched == "END"

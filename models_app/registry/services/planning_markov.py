"""What an n-gram model or a hidden Markov model will take, from its settings and the data alone."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.presets import Need
from models_app.configs.specs import HmmSpec, NgramSpec, Spec
from models_app.datasets.models import DatasetVersion

#: Characters of one unit, about.
UNIT_CHARACTERS = {"word": 4.5, "char": 1.0, "letter": 1.0, "bpe": 3.2}
#: Before the first token: the interpreter, numpy and the tokenizer.
OVERHEAD = 160 * 2**20
#: Bytes for each token and order while n-grams are told apart: keys, their sorted copies, places.
BYTES_PER_NGRAM = 56
#: Units of one pass of an HMM that are held at once, and what each state of each takes.
HELD_UNITS, BYTES_PER_STATE = 2**19, 24
#: Units a second through reading, cutting, and scoring at the end.
UNITS_READ_PER_S = 2.5e5


def markov_tokens(spec: Spec, version: DatasetVersion) -> int:
    """About how many units the training split has."""
    characters = int(version.counts["train"]["characters"])
    return max(1, round(characters / UNIT_CHARACTERS[getattr(spec, "unit", "char")]))


def markov_need(family: str, spec: Any, tokens: int) -> Need:
    """Memory by purpose; how many n-grams there are is known only when they were counted."""
    if isinstance(spec, NgramSpec):
        held = {"counting": tokens * spec.order * BYTES_PER_NGRAM, "overhead": OVERHEAD}
        return Need(parameters=None, bytes=held)
    assert isinstance(spec, HmmSpec), family
    parameters = spec.states * (1 + spec.states + spec.vocab_size)
    held = {
        "weights": parameters * 8 * 3,
        "activations": min(tokens, HELD_UNITS) * spec.states * BYTES_PER_STATE,
        "overhead": OVERHEAD,
    }
    return Need(parameters=parameters, bytes=held)


def markov_errors(spec: Any, version: DatasetVersion) -> dict[str, str]:
    """What cannot be learnt from this data, by setting."""
    errors: dict[str, str] = {}
    train = version.counts.get("train", {})
    smallest = {"bpe": 260, "letter": 29}.get(spec.unit, 3)
    if spec.vocab_size < smallest:
        text = _("The unit %(name)s needs at least %(n)s in the vocabulary.")
        errors["vocab_size"] = text % {"name": spec.unit, "n": smallest}
    if spec.unit == "bpe" and spec.vocab_size > 256 + train.get("bytes", 0):
        text = _("%(tokens)s tokens cannot be learned from %(bytes)s bytes. Use fewer.")
        figures = {"tokens": f"{spec.vocab_size:,}", "bytes": f"{train.get('bytes', 0):,}"}
        errors["vocab_size"] = text % figures
    least = getattr(spec, "order", 1)
    if train.get("characters", 0) < least:
        text = _("The training split is shorter than one n-gram. Choose more data.")
        errors["order"] = text
    return errors


def markov_seconds(family: str, spec: Any, tokens: int, speed: Mapping[str, Any]) -> float | None:
    """Seconds to learn from so many units on a node of this speed; None: it was not measured.

    A hidden Markov model may converge before its last iteration, so this is the most it takes.
    """
    rates = speed.get("markov")
    if not rates:
        return None
    reading = tokens / UNITS_READ_PER_S
    if isinstance(spec, NgramSpec):
        return float(reading + tokens * spec.order / rates["ngram_units_per_s"])
    assert isinstance(spec, HmmSpec), family
    passes = spec.iterations * spec.restarts
    return float(reading + passes * tokens * spec.states / rates["hmm_states_per_s"])

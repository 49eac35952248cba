"""Learning an n-gram model: interpolated Kneser-Ney with three discounts an order.

After Chen and Goodman, "An Empirical Study of Smoothing Techniques for Language Modeling" (1998),
in the details as KenLM's `lmplz` does it (Heafield et al., 2013), so that both give one result:
each sequence begins with one marker; an n-gram that does not begin with it counts, below the
highest order, once for each different token before it; single tokens are interpolated with an
equal share for every token but the begin marker. One thing is not copied: below the highest order
lmplz estimates the discounts with the plain count of one n-gram, the last in its own order. Where
that is not its count by the rule, the discounts of a small text differ in their third digit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.lm.errors import InvalidTraining
from workers.lm.families.markov import FloatArray, IntArray, LogProbs, check_sequences
from workers.lm.families.ngram.counting import Counts, count_ngrams
from workers.lm.families.ngram.layout import alphabet_of, begin_of, lay_out
from workers.lm.families.ngram.model import NgramModel
from workers.lm.families.ngram.order import Order
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary


def train_ngram(
    spec: NgramSpec,
    tokens: IntArray,
    offsets: IntArray,
    vocabulary: Vocabulary,
    on_order: Callable[[int], None] = lambda order: None,
) -> NgramModel:
    """Learn from all sequences; begins are implied, ends are tokens like any other.

    `on_order` is called after each order has been counted and may raise to stop.
    Raises InvalidTraining naming the field.
    """
    spec.check()
    vocabulary.check()
    tokens, offsets = check_sequences(tokens, offsets, vocabulary.size, InvalidTraining)
    begin, alphabet = begin_of(vocabulary), alphabet_of(vocabulary)
    if not tokens.size:
        raise InvalidTraining("tokens", "There is nothing to learn from: no tokens.")
    if (tokens == begin).any():
        raise InvalidTraining("tokens", f"The begin marker ({begin}) is never a token.")
    layout = lay_out(tokens, offsets, vocabulary)
    counts = count_ngrams(layout, begin, alphabet, spec.order, on_order)
    estimates, discounts, warnings = _estimate(spec, counts, vocabulary)
    orders = _orders(spec, counts, estimates, alphabet)
    record: dict[str, Any] = {
        "training": {**spec.to_dict(), "prune": list(spec.thresholds)},
        "tokens": int(tokens.size),
        "sequences": int(layout.words.size - tokens.size),
        "ngrams_seen": [int((order.times > 0).sum()) for order in counts],
        "discounts": discounts,
        "warnings": warnings,
    }
    return NgramModel(vocabulary, orders, record)


@dataclass(frozen=True)
class _Estimate:
    """Of each n-gram of an order its probability, and of each one below the weight of its own."""

    probabilities: FloatArray
    weights: FloatArray


def _estimate(
    spec: NgramSpec, counts: list[Counts], vocabulary: Vocabulary
) -> tuple[list[_Estimate], list[list[float]], list[str]]:
    estimates: list[_Estimate] = []
    discounts: list[list[float]] = []
    warnings: list[str] = []
    for place, order in enumerate(counts):
        longer = counts[place + 1] if place + 1 < len(counts) else None
        adjusted = _adjusted(order, longer)
        given, warning = _discounts(adjusted, place + 1, spec)
        discounts.append([float(value) for value in given[1:]])
        warnings += [warning] if warning else []
        cut = order.times <= spec.thresholds[place]
        spread = given[np.minimum(adjusted, 3)]
        if place == 0:
            total = float(adjusted.sum())
            # Every token but a begin marker with an id of its own can follow.
            share = spread.sum() / total / (vocabulary.size - (vocabulary.begin is not None))
            probabilities = (adjusted - spread) / total + share
            estimates.append(_Estimate(probabilities, np.empty(0)))
            continue
        contexts = counts[place - 1].size
        totals = np.bincount(order.prefix, adjusted, contexts)
        # What is pruned leaves all of its mass to the order below.
        left = np.bincount(order.prefix, np.where(cut, adjusted, spread), contexts)
        weights = np.divide(left, totals, out=np.ones(contexts), where=totals > 0)
        lower = estimates[-1].probabilities[order.suffix] * weights[order.prefix]
        probabilities = (adjusted - spread) / totals[order.prefix] + lower
        estimates.append(_Estimate(probabilities, weights))
    return estimates, discounts, warnings


def _adjusted(order: Counts, longer: Counts | None) -> IntArray:
    """What takes the place of the counts below the highest order."""
    if longer is None:
        return order.times
    different = np.bincount(longer.suffix, minlength=order.size)
    return np.where(order.begins, order.times, different)


def _discounts(adjusted: IntArray, length: int, spec: NgramSpec) -> tuple[FloatArray, str]:
    """For no, one, two, three or more occurrences; with a warning if they are no estimates."""
    have = np.bincount(adjusted[adjusted <= 4], minlength=5).astype(np.float64)
    missing = [str(times) for times in (1, 2, 3) if not have[times]]
    if missing:
        reason = f"no {length}-gram counts {', '.join(missing)}"
    else:
        ratio = have[1] / (have[1] + 2 * have[2])
        times = np.arange(4)
        discounts = times - (times + 1) * ratio * np.divide(have[1:5], np.maximum(have[:4], 1))
        discounts[0] = 0.0
        # A discount of 0, allowed by lmplz, would leave some contexts nothing for other tokens.
        if (discounts[1:] > 0).all() and (discounts <= times).all():
            return discounts, ""
        reason = f"those of {length}-grams come out of range"
    if spec.discount_fallback is None:
        raise InvalidTraining(
            "discount_fallback",
            f"The discounts cannot be estimated: {reason}. The text is too small or too regular; "
            "choose a lower order, give more text, or give discounts for this case.",
        )
    warning = f"Discounts for {length}-grams were taken from discount_fallback: {reason}."
    return np.array([0.0, *spec.discount_fallback]), warning


def _orders(
    spec: NgramSpec, counts: list[Counts], estimates: list[_Estimate], alphabet: int
) -> list[Order]:
    """What is kept after pruning, numbered anew.

    What an n-gram begins with occurs as often at least, and its threshold is no higher: whatever
    is kept has its prefix and its suffix.
    """
    orders: list[Order] = []
    kept = np.ones(counts[0].size, bool)
    renumbered = np.arange(counts[0].size)
    for place, (order, estimate) in enumerate(zip(counts, estimates, strict=True)):
        keys = order.keys
        if place:
            kept = order.times > spec.thresholds[place]
            keys = renumbered[order.prefix[kept]] * alphabet + order.keys[kept] % alphabet
            renumbered = np.cumsum(kept) - 1
        above = estimates[place + 1].weights[kept] if place + 1 < len(counts) else np.empty(0)
        orders.append(Order(keys, _logarithm(estimate.probabilities[kept]), _logarithm(above)))
    orders[0].log_probs[counts[0].begins] = -np.inf
    return orders


def _logarithm(values: NDArray[np.float64]) -> LogProbs:
    with np.errstate(divide="ignore"):
        return np.log(values).astype(np.float32)

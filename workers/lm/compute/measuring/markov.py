"""How fast n-grams are counted and hidden Markov models are trained here."""

import numpy as np
import torch

from workers.lm.compute.measuring.bench import Bench, rounded
from workers.lm.families.hmm.spec import HmmSpec
from workers.lm.families.hmm.training import train_hmm
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram

UNITS = 100_000


def markov_rates() -> dict[str, float]:
    """Units a second: of counting n-grams, for each order; of Baum-Welch, for each state."""
    random = np.random.default_rng(0)
    units = random.zipf(1.3, UNITS).clip(3, 4095).astype(np.int64)
    offsets = np.arange(0, UNITS + 1, 20, dtype=np.int64)
    spec, vocabulary = NgramSpec(order=3), Vocabulary(size=4096, end=2, unknown=1)
    bench = Bench(torch.device("cpu"), 1)
    counting = bench.seconds(lambda: train_ngram(spec, units, offsets, vocabulary))
    hidden = HmmSpec(states=8, iterations=2, tolerance=0.0, restarts=1)
    passing = bench.seconds(lambda: train_hmm(hidden, units % 64, offsets, 64)) / hidden.iterations
    return {
        "ngram_units_per_s": rounded(UNITS * spec.order / counting),
        "hmm_states_per_s": rounded(UNITS * hidden.states / passing),
    }

"""Texts to learn from: letters of English, and tokens drawn from a model that is known."""

from pathlib import Path

import numpy as np

NAMES = [" ", *"abcdefghijklmnopqrstuvwxyz"]


def letters() -> np.ndarray:
    """Some prose in 27 letters; whatever is between words is one space."""
    text = Path(__file__).with_name("prose.txt").read_text().lower()
    kept = "".join(character if character in NAMES else " " for character in text)
    return np.array([NAMES.index(character) for character in " ".join(kept.split())])


def drawn(start: list, transitions: list, emissions: list, length: int, seed: int) -> np.ndarray:
    """Tokens of one long walk through the states."""
    generator = np.random.default_rng(seed)
    state = generator.choice(len(start), p=start)
    tokens = []
    for _ in range(length):
        tokens.append(generator.choice(len(emissions[state]), p=emissions[state]))
        state = generator.choice(len(start), p=transitions[state])
    return np.array(tokens)

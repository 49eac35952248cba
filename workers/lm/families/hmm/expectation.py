"""How often, by the present parameters, each state begins, follows, and emits each token.

The forward-backward procedure after Rabiner, "A Tutorial on Hidden Markov Models" (1989), with
his scaling: each forward row is divided by its sum, and the sums' logarithms make the likelihood.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from workers.lm.families.hmm.chunks import Block
from workers.lm.families.hmm.parameters import Parameters
from workers.lm.families.hmm.spec import SpaceChoice
from workers.lm.families.markov import FloatArray


@dataclass
class Expected:
    """Expected counts in the shapes of `Parameters`, and the likelihood's logarithm in nats."""

    start: FloatArray
    transitions: FloatArray
    emissions: FloatArray
    log_likelihood: float = 0.0

    @classmethod
    def none(cls, states: int, vocab_size: int) -> Self:
        """Nothing counted yet."""
        return cls(np.zeros(states), np.zeros((states, states)), np.zeros((states, vocab_size)))

    def add(self, block: Block, parameters: Parameters, space: SpaceChoice) -> None:
        """Count what a block leads to expect."""
        if space == "log":
            occupied, moved, nats = _in_logarithms(block, parameters)
        else:
            occupied, moved, nats = _scaled(block, parameters)
        self.start += occupied[0].sum(axis=0)
        self.transitions += moved
        flat = block.tokens.ravel()
        for state, row in enumerate(self.emissions):
            row += np.bincount(flat, occupied[:, :, state].ravel(), row.size)
        self.log_likelihood += nats


def forward(
    block: Block, parameters: Parameters, start: FloatArray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Beliefs about the state after each token, (time, pieces, states), and each token's probability.

    `start` are the pieces' own beliefs about their first state, (pieces, states). The last of the
    three is how probable each state makes each token. Beliefs behind a piece's end are 0 and the
    probabilities there 1.
    """
    likely = np.ascontiguousarray(parameters.emissions.T)[block.tokens]
    beliefs = np.zeros(likely.shape)
    chances = np.ones(block.tokens.shape)
    ones = np.ones(parameters.states)
    before = parameters.start if start is None else start
    for time, alive in enumerate(block.alive.tolist()):
        if time:
            before = beliefs[time - 1, :alive] @ parameters.transitions
        row = np.multiply(before, likely[time, :alive], out=beliefs[time, :alive])
        chances[time, :alive] = row @ ones
        row /= chances[time, :alive, np.newaxis]
    return beliefs, chances, likely


def _scaled(block: Block, parameters: Parameters) -> tuple[FloatArray, FloatArray, float]:
    """States occupied (time, pieces, states), moves between them, and nats."""
    beliefs, chances, later = forward(block, parameters)
    backwards = np.ascontiguousarray(parameters.transitions.T)
    occupied = beliefs.copy()
    # From here on `later` holds what a token and all behind it say about its state, scaled; it
    # takes the place of what was read from it last.
    later /= chances[:, :, np.newaxis]
    for time in range(len(block.alive) - 1, 0, -1):
        alive = int(block.alive[time])
        later[time, alive:] = 0.0
        behind = later[time, :alive] @ backwards
        occupied[time - 1, :alive] *= behind
        later[time - 1, :alive] *= behind
    states = parameters.states
    moved = beliefs[:-1].reshape(-1, states).T @ later[1:].reshape(-1, states)
    return occupied, moved * parameters.transitions, float(np.log(chances).sum())


def _in_logarithms(block: Block, parameters: Parameters) -> tuple[FloatArray, FloatArray, float]:
    """The same without scaling: every sum is one of exponentials around their largest."""
    moves = np.log(parameters.transitions)
    likely = np.log(np.ascontiguousarray(parameters.emissions.T))[block.tokens]
    before = np.full(likely.shape, -np.inf)
    after = np.zeros(likely.shape)
    before[0] = np.log(parameters.start) + likely[0]
    for time, alive in enumerate(block.alive.tolist()):
        if time:
            ways = before[time - 1, :alive, :, np.newaxis] + moves
            before[time, :alive] = np.logaddexp.reduce(ways, axis=1) + likely[time, :alive]
    for time in range(len(block.alive) - 1, 0, -1):
        alive = int(block.alive[time])
        ways = moves + (likely[time, :alive] + after[time, :alive])[:, np.newaxis]
        after[time - 1, :alive] = np.logaddexp.reduce(ways, axis=2)
    nats = np.logaddexp.reduce(before[0] + after[0], axis=1)
    occupied = np.exp(before + after - nats[:, np.newaxis])
    moved = np.zeros(moves.shape)
    for time, alive in enumerate(block.alive.tolist()):
        if time:
            towards = likely[time, :alive] + after[time, :alive] - nats[:alive, np.newaxis]
            ways = before[time - 1, :alive, :, np.newaxis] + moves + towards[:, np.newaxis]
            moved += np.exp(ways).sum(axis=0)
    return occupied, moved, float(nats.sum())

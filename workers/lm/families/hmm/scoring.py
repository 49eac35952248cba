"""The probability of every token after all those before it, exactly, also in very long texts."""

import numpy as np

from workers.lm.families.hmm.chunks import Block, blocks, cut
from workers.lm.families.hmm.expectation import forward
from workers.lm.families.hmm.parameters import Parameters
from workers.lm.families.markov import FloatArray, IntArray

#: Longer sequences are cut into parts of this many tokens that are read side by side.
_PART = 512
#: With more states, reading a part once for each of them costs more than reading one by one.
_MOST_STATES = 24


def score(tokens: IntArray, offsets: IntArray, parameters: Parameters) -> FloatArray:
    """Natural logarithms of the tokens' probabilities, of shape (tokens,)."""
    logs = np.empty(tokens.size)
    begins, sizes = cut(offsets, None)
    long = (sizes > 2 * _PART) & (parameters.states <= _MOST_STATES)
    for block in blocks(tokens, begins[~long], sizes[~long], parameters.states):
        _write(logs, block, forward(block, parameters)[1])
    for begin, size in zip(begins[long].tolist(), sizes[long].tolist(), strict=True):
        logs[begin : begin + size] = _score_long(tokens[begin : begin + size], parameters)
    return logs


def _write(logs: FloatArray, block: Block, chances: FloatArray) -> None:
    there = np.arange(block.alive.size)[:, np.newaxis] < block.lengths
    logs[block.places[there]] = np.log(chances[there])


def _score_long(tokens: IntArray, parameters: Parameters) -> FloatArray:
    """One sequence, cut into parts; each is entered with the belief that those before it leave."""
    logs = np.empty(tokens.size)
    start = parameters.start
    # Only the last part can be shorter, so blocks leave the parts in their order.
    parts = cut(np.array([0, tokens.size]), _PART)
    for block in blocks(tokens, *parts, parameters.states**2):
        entered, start = _enter(block, parameters, start)
        _write(logs, block, forward(block, parameters, entered)[1])
    return logs


def _enter(
    block: Block, parameters: Parameters, start: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The belief about the first state of each part, and of the part behind the last one.

    Each part is read once for every state that it could begin in. By what is then believed of its
    last state, and by how probable each beginning made it, any belief is carried over the part.
    """
    states, many = parameters.states, block.tokens.shape[1]
    wide = Block(
        np.repeat(block.tokens, states, axis=1),
        np.repeat(block.places, states, axis=1),
        block.alive * states,
    )
    beliefs, chances, _ = forward(wide, parameters, np.tile(np.eye(states), (many, 1)))
    nats = np.log(chances).sum(axis=0).reshape(many, states)
    ends = beliefs[wide.lengths - 1, np.arange(many * states)].reshape(many, states, states)
    entered = np.empty((many, states))
    for part in range(many):
        entered[part] = start
        weights = np.log(start) + nats[part]
        weights = np.exp(weights - weights.max())
        last = weights @ ends[part]
        start = last / last.sum() @ parameters.transitions
    return entered, start

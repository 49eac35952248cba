"""The most probable path through the states, by Viterbi's method, in logarithms."""

import numpy as np

from workers.lm.families.hmm.chunks import Block
from workers.lm.families.hmm.parameters import Parameters
from workers.lm.families.markov import IntArray


def best_paths(block: Block, parameters: Parameters) -> IntArray:
    """The state of every token, of shape (time, pieces); 0 behind a piece's end.

    Of paths that are equally probable it is one whose last states have lower numbers.
    """
    moves = np.log(parameters.transitions)
    likely = np.log(np.ascontiguousarray(parameters.emissions.T))[block.tokens]
    came_from = np.zeros(likely.shape, np.int16)
    scores = np.log(parameters.start) + likely[0]
    for time, alive in enumerate(block.alive.tolist()):
        if time:
            # A piece that has ended keeps the scores of its last token.
            ways = scores[:alive, :, np.newaxis] + moves
            came_from[time, :alive] = ways.argmax(axis=1)
            scores[:alive] = ways.max(axis=1) + likely[time, :alive]
    path = np.zeros(block.tokens.shape, np.int64)
    states = scores.argmax(axis=1)
    pieces = np.arange(states.size)
    for time in range(len(block.alive) - 1, -1, -1):
        alive = int(block.alive[time])
        path[time, :alive] = states[:alive]
        states[:alive] = came_from[time, pieces[:alive], states[:alive]]
    return path

"""A hidden Markov model as plain data for drawing."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from workers.lm.errors import InvalidWork
from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.markov import FloatArray


def picture(model: HmmModel, names: Sequence[str], most: int = 12) -> dict[str, Any]:
    """States with their `most` probable tokens, most probable first, and the moves between them.

    `transitions` are rows of probabilities. Of each state: `start`, the probability that a
    sequence begins in it; `stationary`, its share of a long text; `duration`, how many tokens a
    stay in it lasts on average, staying itself included.
    """
    parameters = model.parameters
    if len(names) != model.vocab_size:
        raise InvalidWork("names", f"{len(names)} names for {model.vocab_size} tokens.")
    shares = stationary(parameters.transitions)
    stays = np.diagonal(parameters.transitions)
    return {
        "transitions": parameters.transitions.tolist(),
        "states": [
            {
                "state": state,
                "start": float(parameters.start[state]),
                "stationary": float(shares[state]),
                # A single state is never left.
                "duration": float(1 / (1 - stays[state])) if stays[state] < 1 else None,
                "emissions": [
                    {
                        "id": token,
                        "name": names[token],
                        "probability": float(parameters.emissions[state, token]),
                    }
                    for token in _most_probable(parameters.emissions[state], most)
                ],
            }
            for state in range(parameters.states)
        ],
    }


def stationary(transitions: FloatArray) -> FloatArray:
    """The shares of states that stay as they are from one token to the next, of shape (states,).

    There is one such distribution, for no transition has the probability 0.
    """
    states = len(transitions)
    equations = np.vstack([transitions.T - np.eye(states), np.ones(states)])
    shares = np.linalg.lstsq(equations, np.append(np.zeros(states), 1.0), rcond=None)[0]
    return np.asarray(shares / shares.sum())


def _most_probable(row: FloatArray, most: int) -> list[int]:
    return [int(token) for token in np.argsort(-row, kind="stable")[:most]]

"""A hidden Markov model on disk: its numbers in safetensors, the rest in JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from workers.lm.durable import flush_file
from workers.lm.errors import UnusableModel
from workers.lm.families.hmm.parameters import Parameters
from workers.lm.families.hmm.spec import MOST_STATES

DESCRIPTION, ARRAYS = "hmm.json", "model.safetensors"
_FORMAT = 1
_NAMES = ("start", "transitions", "emissions")


def write_hmm(folder: Path, parameters: Parameters, record: dict[str, Any]) -> None:
    """Write both files into an existing folder and flush them to the disk."""
    arrays = {name: getattr(parameters, name) for name in _NAMES}
    save_file(arrays, folder / ARRAYS, metadata={"format": "np"})
    description = {
        "family": "hmm",
        "format": _FORMAT,
        "states": parameters.states,
        "vocab_size": parameters.vocab_size,
        "record": record,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, sort_keys=True) + "\n")
    flush_file(folder / ARRAYS)
    flush_file(folder / DESCRIPTION)


def read_hmm(folder: Path) -> tuple[Parameters, dict[str, Any]]:
    """Read what `write_hmm` wrote. Raises UnusableModel with the reason."""
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        if description["family"] != "hmm" or description["format"] != _FORMAT:
            raise UnusableModel(f"{DESCRIPTION} is of another family or a newer format.")
        states, vocab_size = description["states"], description["vocab_size"]
        record = dict(description["record"])
        arrays = load_file(folder / ARRAYS)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UnusableModel(f"The hidden Markov model cannot be read: {error!r}"[:300]) from error
    if type(states) is not int or not 1 <= states <= MOST_STATES:
        raise UnusableModel(f"{DESCRIPTION} names {states!r} states.")
    shapes = ((states,), (states, states), (states, vocab_size))
    for name, shape in zip(_NAMES, shapes, strict=True):
        _check(name, arrays.get(name), shape)
    return Parameters(*(arrays[name] for name in _NAMES)), record


def _check(name: str, array: Any, shape: tuple[int, ...]) -> None:
    if array is None or array.dtype != np.float64 or array.shape != shape:
        raise UnusableModel(f"{ARRAYS} has no {name} of shape {shape} in float64.")
    # NaN is not above 0 either.
    if not (array > 0).all() or not np.allclose(array.sum(axis=-1), 1.0, rtol=0, atol=1e-6):
        raise UnusableModel(f"{name} holds no probabilities: above 0, and 1 in sum.")

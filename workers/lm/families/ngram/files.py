"""An n-gram model on disk: arrays in safetensors, the rest in JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from workers.lm.durable import flush_file
from workers.lm.errors import InvalidTraining, UnusableModel
from workers.lm.families.ngram.layout import alphabet_of, begin_of
from workers.lm.families.ngram.order import Order
from workers.lm.families.ngram.spec import LARGEST_ORDER, Vocabulary

DESCRIPTION, ARRAYS = "ngram.json", "model.safetensors"
_FORMAT = 1
_KINDS = {"keys": np.int64, "log_probs": np.float32, "back_offs": np.float32}


def write_ngram(
    folder: Path, vocabulary: Vocabulary, orders: Sequence[Order], record: dict[str, Any]
) -> None:
    """Write both files into an existing folder and flush them to the disk."""
    arrays = {
        f"{length}.{name}": np.ascontiguousarray(getattr(order, name))
        for length, order in enumerate(orders, start=1)
        for name in _KINDS
    }
    save_file(arrays, folder / ARRAYS, metadata={"format": "np"})
    description = {
        "family": "ngram",
        "format": _FORMAT,
        "order": len(orders),
        "vocabulary": asdict(vocabulary),
        "record": record,
    }
    (folder / DESCRIPTION).write_text(json.dumps(description, indent=2, sort_keys=True) + "\n")
    flush_file(folder / ARRAYS)
    flush_file(folder / DESCRIPTION)


def read_ngram(folder: Path) -> tuple[Vocabulary, list[Order], dict[str, Any]]:
    """Read what `write_ngram` wrote, and make sure that nothing points outside of the arrays.

    Raises UnusableModel with the reason.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        if description["family"] != "ngram" or description["format"] != _FORMAT:
            raise UnusableModel(f"{DESCRIPTION} is of another family or a newer format.")
        vocabulary = Vocabulary(**description["vocabulary"])
        vocabulary.check()
        length, record = description["order"], dict(description["record"])
        arrays = load_file(folder / ARRAYS)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, InvalidTraining) as error:
        raise UnusableModel(f"The n-gram model cannot be read: {error!r}"[:300]) from error
    if type(length) is not int or not 1 <= length <= LARGEST_ORDER:
        raise UnusableModel(f"{DESCRIPTION} names an order of {length!r}.")
    orders = [_order_of(arrays, number) for number in range(1, length + 1)]
    _check(vocabulary, orders)
    return vocabulary, orders, record


def _order_of(arrays: dict[str, Any], length: int) -> Order:
    parts = {}
    for name, kind in _KINDS.items():
        array = arrays.get(f"{length}.{name}")
        if array is None or array.dtype != kind or array.ndim != 1:
            raise UnusableModel(f"{ARRAYS} has no row {length}.{name} of {kind.__name__}.")
        parts[name] = array
    return Order(**parts)


def _check(vocabulary: Vocabulary, orders: list[Order]) -> None:
    alphabet = alphabet_of(vocabulary)
    if not np.array_equal(orders[0].keys, np.arange(alphabet)):
        raise UnusableModel("The single tokens are not those of the vocabulary.")
    room = alphabet
    for length, order in enumerate(orders, start=1):
        size = order.keys.size
        weights = 0 if length == len(orders) else size
        if order.log_probs.size != size or order.back_offs.size != weights:
            raise UnusableModel(f"The {length}-grams have numbers missing or left over.")
        if size and (order.keys[0] < 0 or order.keys[-1] >= room):
            raise UnusableModel(f"Some {length}-grams have no beginning among the shorter ones.")
        if (order.keys[1:] <= order.keys[:-1]).any():
            raise UnusableModel(f"The {length}-grams are not in order.")
        logs = np.delete(order.log_probs, begin_of(vocabulary)) if length == 1 else order.log_probs
        if not (np.isfinite(logs).all() and (logs <= 0).all()):
            raise UnusableModel(f"Some {length}-grams have no probability between 0 and 1.")
        if not np.isfinite(order.back_offs).all():
            raise UnusableModel(f"Some {length}-grams have a weight that is not a finite number.")
        room = size * alphabet

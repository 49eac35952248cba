"""Reads the scores of single documents into columns, and brings several into one order."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from models_app.core.blobs import blob_open
from models_app.registry.scoring.measures import Measure


@dataclass(frozen=True)
class Column:
    """What one evaluation gave each document; all three are equally long."""

    documents: Sequence[int]
    values: Sequence[float]
    weights: Sequence[float]


def score_rows(sha256: str) -> Iterator[dict[str, Any]]:
    """The rows of a file of scores, in the order of the documents."""
    with blob_open(sha256) as stream:
        for line in stream:
            yield orjson.loads(line)


def column_of(sha256: str, measure: Measure) -> Column:
    """One measure of every row of a file of scores."""
    documents, values, weights = array("q"), array("d"), array("d")
    for row in score_rows(sha256):
        documents.append(row["document"])
        values.append(measure.value(row))
        weights.append(measure.weight(row))
    return Column(documents, values, weights)


def aligned(columns: Sequence[Column]) -> list[Column]:
    """The same columns, cut to the documents that all of them have."""
    first = columns[0].documents
    if all(column.documents == first for column in columns[1:]):
        return list(columns)
    common = set(first).intersection(*(column.documents for column in columns[1:]))
    return [_cut(column, common) for column in columns]


def _cut(column: Column, common: set[int]) -> Column:
    kept = [place for place, number in enumerate(column.documents) if number in common]
    return Column(
        array("q", (column.documents[place] for place in kept)),
        array("d", (column.values[place] for place in kept)),
        array("d", (column.weights[place] for place in kept)),
    )

"""Rows that a measure complains about: counted all, listed up to a limit; and where rows begin."""

import json
from pathlib import Path
from typing import IO, Any

#: What is measured, in the order in which people read it.
MEASURES = (
    "schema", "empty", "exact_duplicates", "near_duplicates", "leakage_exact", "leakage_near",
    "leakage_evaluation", "personal_data", "secrets",
)  # fmt: skip
#: Rows of a measure that are listed in its file, and in the report itself.
LISTED, NAMED = 100_000, 20
#: The index says where every so-manieth row begins.
EVERY = 500


class Findings:
    """`<folder>/<measure>.jsonl`, a row each: split, index, detail and perhaps the other row."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, IO[str]] = {}
        self._counts: dict[str, int] = dict.fromkeys(MEASURES, 0)
        self._first: dict[str, list[dict[str, Any]]] = {name: [] for name in MEASURES}

    def add(
        self,
        measure: str,
        split: str,
        index: int,
        detail: str,
        other: dict[str, Any] | None = None,
    ) -> None:
        """One more row."""
        row: dict[str, Any] = {"split": split, "index": index, "detail": detail}
        if other is not None:
            row["other"] = other
        self._counts[measure] += 1
        if self._counts[measure] <= NAMED:
            self._first[measure].append(row)
        if self._counts[measure] <= LISTED:
            if measure not in self._files:
                path = self._folder / f"{measure}.jsonl"
                self._files[measure] = path.open("w", encoding="utf-8")
            self._files[measure].write(json.dumps(row, separators=(",", ":")) + "\n")

    def count(self, measure: str) -> int:
        """How many rows there were, listed or not."""
        return self._counts[measure]

    def first(self, measure: str) -> list[dict[str, Any]]:
        """The first of them."""
        return self._first[measure]

    def close(self) -> None:
        """Finish the files."""
        for file in self._files.values():
            file.close()


class RowIndex:
    """`<folder>/<split>.json`: where every EVERY-th row of a split begins, so that a page in the
    middle is read without what is before it.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._places: dict[str, list[list[Any]]] = {}

    def row(self, split: str, index: int, file: str, offset: int) -> None:
        """A row in passing."""
        if index % EVERY == 0:
            self._places.setdefault(split, []).append([file, offset])

    def close(self) -> None:
        """Write them."""
        for split, places in self._places.items():
            text = json.dumps({"every": EVERY, "places": places}, separators=(",", ":"))
            (self._folder / f"{split}.json").write_text(text)

"""Measures the quality of a stored version: what is double, empty, foreign, private or leaked.

Counts are exact for what they count; the rows behind them are listed up to a limit. Near-duplicates
are those that `grouping` finds. Memory does not grow with the text.
"""

import json
import shutil
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from workers.lm.corpus import personal
from workers.lm.corpus.findings import MEASURES, Findings, RowIndex
from workers.lm.corpus.grouping import Texts
from workers.lm.corpus.languages import language_of
from workers.lm.corpus.stored import Row, Shard, document_of, read_rows
from workers.lm.corpus.texts import normalised
from workers.lm.errors import Stopped
from workers.lm.events import Events

#: So many documents are asked for their language: all of a small version, evenly spread in others.
LANGUAGE_SAMPLE = 20_000
HISTOGRAM_BINS = 24
SPLITS = ("train", "validation")


@dataclass(frozen=True, kw_only=True)
class Other:
    """Another version that this one must not contain, such as one that models are judged by."""

    id: int
    name: str
    shards: Sequence[Shard]


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How near is near; `documents` is how many there are, if it is known."""

    near_threshold: float = 0.8
    near_width: int = 16
    documents: int = 0


@dataclass(kw_only=True)
class Measured:
    """The report; lists of rows lie in the output folder."""

    documents: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    measures: dict[str, dict[str, Any]] = field(default_factory=dict)
    personal: dict[str, dict[str, int]] = field(default_factory=dict)
    languages: dict[str, int] = field(default_factory=dict)
    lengths: dict[str, Any] = field(default_factory=dict)
    evaluation: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "documents": {**self.documents, "total": sum(self.documents.values())},
            "measures": self.measures, "personal": self.personal, "languages": self.languages,
            "lengths": self.lengths, "evaluation": self.evaluation,
        }  # fmt: skip


def measure(
    shards: Sequence[Shard],
    others: Sequence[Other],
    options: MeasureOptions,
    work_dir: Path,
    output_dir: Path,
    events: Events,
) -> Measured:
    """Write `findings/<measure>.jsonl` and `index/<split>.json` under `output_dir`.

    Raises CorruptShard and Stopped. A run that was broken off may be repeated in the same folders.
    """
    for folder in (work_dir / "measure", output_dir):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    work = _Measuring(shards, others, options, work_dir / "measure", output_dir, events)
    try:
        return work.run()
    finally:
        work.close()
        shutil.rmtree(work_dir / "measure", ignore_errors=True)


class _Measuring:
    def __init__(
        self,
        shards: Sequence[Shard],
        others: Sequence[Other],
        options: MeasureOptions,
        work: Path,
        output: Path,
        events: Events,
    ) -> None:
        self._shards, self._others, self._options, self._events = shards, others, options, events
        self._texts = Texts(work / "texts", width=options.near_width)
        # Of each text: shard, byte there, source (0 train, 1 validation, 2… others), index there.
        self._places = (work / "places").open("w+b")
        self._all = [*shards, *(shard for other in others for shard in other.shards)]
        self._open: tuple[int, IO[bytes]] | None = None
        self._findings = Findings(output / "findings")
        self._index = RowIndex(output / "index")
        self._result = Measured(
            personal={kind: {"documents": 0, "hits": 0} for kind in personal.KINDS},
            evaluation=[{"version": other.id, "name": other.name, "count": 0} for other in others],
        )
        self._lengths = {split: array("I") for split in SPLITS}
        self._words = {split: array("I") for split in SPLITS}
        self._kind = ""
        self._step = max(1, options.documents // LANGUAGE_SAMPLE)
        self._total = sum(shard.path.stat().st_size for shard in self._all)
        self._done, self._told = 0, 0.0

    def run(self) -> Measured:
        for row in read_rows(self._shards):
            self._own(row)
        seen = len(self._shards)
        for source, other in enumerate(self._others, 2):
            for row in read_rows(other.shards):
                self._done += row.size
                if row.text.strip():
                    self._remember(row, seen, source)
                self._tell("reading", self._done, self._total, 0.0, 75.0)
            seen += len(other.shards)
        self._compare()
        self._finish()
        return self._result

    def close(self) -> None:
        self._places.close()
        self._texts.close()
        self._findings.close()
        if self._open:
            self._open[1].close()

    def _own(self, row: Row) -> None:
        result = self._result
        number = sum(result.documents.values())
        result.documents[row.split] += 1
        self._done += row.size
        self._index.row(row.split, row.index, self._shards[row.shard].path.name, row.offset)
        self._tell("reading", self._done, self._total, 0.0, 75.0)
        if row.problem:
            self._findings.add("schema", row.split, row.index, row.problem)
            return
        self._kind = self._kind or row.kind
        if row.kind != self._kind:
            said = f"{row.kind} in a version of {self._kind}"
            self._findings.add("schema", row.split, row.index, said)
        length = len(row.text)
        self._lengths[row.split].append(length)
        self._words[row.split].append(row.text.count(" ") + row.text.count("\n") + 1)
        if not row.text.strip():
            self._findings.add("empty", row.split, row.index, f"{length} characters")
            return
        self._private(row)
        if number % self._step == 0:
            language = language_of(row.text)
            result.languages[language] = result.languages.get(language, 0) + 1
        self._remember(row, 0, SPLITS.index(row.split))

    def _private(self, row: Row) -> None:
        found = personal.find(row.text)
        if not found:
            return
        kinds = [kind for _start, _end, kind in found]
        for kind in set(kinds):
            self._result.personal[kind]["documents"] += 1
            self._result.personal[kind]["hits"] += kinds.count(kind)
        people = sorted(set(kinds) - {"secret"})
        if people:
            self._findings.add("personal_data", row.split, row.index, ", ".join(people))
        if "secret" in kinds:
            self._findings.add("secrets", row.split, row.index, f"{kinds.count('secret')} found")

    def _remember(self, row: Row, shards_before: int, source: int) -> None:
        self._texts.add(normalised(row.text))
        place = (shards_before + row.shard, row.offset, source, row.index)
        self._places.write(np.array(place, np.int64).tobytes())

    def _compare(self) -> None:
        self._places.seek(0)
        self._where = np.fromfile(self._places, np.int64).reshape(-1, 4)
        first = self._texts.equal()
        leaders = self._texts.near(first, self._text, self._options.near_threshold, self._band)
        self._leaked = np.zeros(len(first), bool)
        for column, exact in ((first, True), (leaders, False)):
            members = np.flatnonzero(_shared(column))
            order = members[np.lexsort((members, column[members]))]
            borders = np.flatnonzero(np.diff(column[order])) + 1
            for group in np.split(order, borders) if len(order) else ():
                if exact:
                    self._equal(group)
                else:
                    self._alike(group, first)

    def _equal(self, group: npt.NDArray[np.int64]) -> None:
        """Equal texts: doubles within a split, leaks between the splits and from others."""
        found, where = self._findings, self._where
        sources = where[group, 2]
        for source, split in enumerate(SPLITS):
            same = group[sources == source]
            for number in same[1:]:
                found.add("exact_duplicates", split, *self._of(number, same[0]))
        self._leaks(group[sources == 1], group[sources == 0], "leakage_exact")
        self._leaks_from_others(group, sources, exact=True)

    def _alike(self, group: npt.NDArray[np.int64], first: npt.NDArray[np.int32]) -> None:
        """Similar texts: what is equal to another one was counted there."""
        found, sources = self._findings, self._where[group, 2]
        if len(np.unique(first[group])) == 1:
            return
        for source, split in enumerate(SPLITS):
            same = group[sources == source]
            _unique, at = np.unique(first[same], return_index=True)
            distinct = same[np.sort(at)]
            for number in distinct[1:]:
                found.add("near_duplicates", split, *self._of(number, distinct[0]))
        inside = group[sources == 0]
        known = set(first[inside].tolist())
        leaked = [n for n in group[sources == 1] if int(first[n]) not in known]
        self._leaks(np.array(leaked, np.int64), inside, "leakage_near")
        self._leaks_from_others(group, sources, exact=False, first=first)

    def _leaks(
        self, held_out: npt.NDArray[np.int64], trained: npt.NDArray[np.int64], measure: str
    ) -> None:
        if len(trained):
            for number in held_out:
                self._findings.add(measure, "validation", *self._of(number, trained[0]))

    def _leaks_from_others(
        self,
        group: npt.NDArray[np.int64],
        sources: npt.NDArray[np.int64],
        *,
        exact: bool,
        first: npt.NDArray[np.int32] | None = None,
    ) -> None:
        own = group[sources < 2]
        for source, other in enumerate(self._others, 2):
            theirs = group[sources == source]
            if not len(theirs):
                continue
            known = set() if first is None else set(first[theirs].tolist())
            for number in own:
                if first is not None and int(first[number]) in known:
                    continue
                self._result.evaluation[source - 2]["count"] += 1
                if self._leaked[number]:
                    continue
                self._leaked[number] = True
                index, _detail, place = self._of(number, theirs[0])
                how = "the same text as" if exact else "nearly the same text as"
                self._findings.add(
                    "leakage_evaluation", SPLITS[self._where[number, 2]], index,
                    f"{how} a document of {other.name}", {**place, "version": other.id},
                )  # fmt: skip

    def _of(self, number: int, original: int) -> tuple[int, str, dict[str, Any]]:
        """Index, detail and the place of the other one."""
        _shard, _offset, source, index = (int(value) for value in self._where[original])
        split = SPLITS[source] if source < 2 else "other"
        return int(self._where[number, 3]), f"{split} {index}", {"split": split, "index": index}

    def _text(self, number: int) -> str:
        shard, offset = int(self._where[number, 0]), int(self._where[number, 1])
        if self._open is None or self._open[0] != shard:
            if self._open:
                self._open[1].close()
            self._open = (shard, self._all[shard].path.open("rb"))
        self._open[1].seek(offset)
        return normalised(document_of(self._open[1].readline())[1])

    def _band(self, band: int) -> None:
        self._tell("comparing", band + 1, 16, 75.0, 98.0, force=True)

    def _finish(self) -> None:
        result = self._result
        total = sum(result.documents.values())
        for name in MEASURES:
            base = result.documents["validation"] if name in _OF_VALIDATION else total
            result.measures[name] = {
                "count": self._findings.count(name), "of": base,
                "rows": self._findings.first(name),
            }  # fmt: skip
        result.lengths = {
            split: {"characters": _histogram(self._lengths[split]),
                    "words": _histogram(self._words[split])}
            for split in SPLITS if self._lengths[split]
        }  # fmt: skip
        self._index.close()
        self._findings.close()
        found = {name: entry["count"] for name, entry in result.measures.items() if entry["count"]}
        self._events.log(f"Checked {total:,} documents: {json.dumps(found) if found else 'clean'}.")

    def _tell(
        self, stage: str, done: int, total: int, low: float, high: float, force: bool = False
    ) -> None:
        now = time.monotonic()
        if not force and now - self._told < 0.5:
            return
        self._told = now
        if self._events.should_stop():
            raise Stopped(done, None)
        self._events.progress(
            step=done, total=total, stage=stage,
            percent=low + (high - low) * min(1.0, done / max(1, total)), eta_s=None,
        )  # fmt: skip


#: Measured against the documents of the validation split.
_OF_VALIDATION = ("leakage_exact", "leakage_near")


def _shared(column: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whose leader leads at least two."""
    counts = np.bincount(column, minlength=len(column)) if len(column) else np.zeros(0, np.int64)
    shared: npt.NDArray[np.bool_] = counts[column] > 1
    return shared


def _histogram(values: "array[int]") -> dict[str, Any]:
    """Bins of which each is as many times as wide as the one before, and a few figures."""
    ordered = np.sort(np.array(values, np.int64))
    shortest, longest = int(ordered[0]), int(ordered[-1])
    spread = np.geomspace(max(1, shortest), longest + 1, HISTOGRAM_BINS + 1)
    edges = np.unique(np.concatenate(([shortest], spread[1:-1].round(), [longest + 1])))
    edges = edges[(edges >= shortest) & (edges <= longest + 1)].astype(np.int64)
    counts = np.diff(np.searchsorted(ordered, edges))
    bins = [
        {"low": int(low), "high": int(high) - 1, "documents": int(count)}
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return {
        "bins": bins, "shortest": shortest, "median": int(ordered[len(ordered) // 2]),
        "longest": longest, "mean": round(float(ordered.mean()), 1),
    }  # fmt: skip

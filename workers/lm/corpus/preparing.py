"""Makes a new version of a stored one: cleaned, without duplicates, split anew, cut into shards.

Two passes in bounded memory. The first takes every document through its steps into a spool; then
equal and similar ones are found; the second writes who stays. The same shards and options give the
same bytes on every machine: nothing depends on time, threads, hash seeds or the names of files.
"""

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from workers.lm.corpus.grouping import Texts
from workers.lm.corpus.shards import Shards
from workers.lm.corpus.splitting import split_of
from workers.lm.corpus.steps import DocumentSteps, Kept, PrepareOptions, Tally, json_line
from workers.lm.corpus.stored import Row, Shard, document_of, read_rows
from workers.lm.corpus.texts import normalised
from workers.lm.errors import InvalidWork, Stopped
from workers.lm.events import Events

PREVIEW_DOCUMENTS, PREVIEW_CHARACTERS = 20, 600
SPLITS = ("train", "validation")
#: What a pass is of the whole, in percent.
_FIRST, _SECOND, _THIRD = 60.0, 75.0, 90.0


class NothingLeft(InvalidWork):
    """Every document was dropped; the message names the step that took the most."""


@dataclass(kw_only=True)
class Prepared:
    """What came of it; the shards lie in the output folder."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    preview: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"counts": self.counts, "preview": self.preview, "steps": self.tally.to_dict()}


def prepare(
    shards: Sequence[Shard],
    options: PrepareOptions,
    work_dir: Path,
    output_dir: Path,
    events: Events,
) -> Prepared:
    """Write `train/` and `validation/` under `output_dir`.

    Raises NothingLeft, CorruptShard and Stopped. A run that was broken off may be repeated in the
    same folders: it begins anew.
    """
    for folder in (work_dir / "prepare", output_dir):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    work = _Preparation(shards, options, work_dir / "prepare", output_dir, events)
    try:
        return work.run()
    finally:
        work.close()
        shutil.rmtree(work_dir / "prepare", ignore_errors=True)


class _Preparation:
    def __init__(
        self,
        shards: Sequence[Shard],
        options: PrepareOptions,
        work: Path,
        output: Path,
        events: Events,
    ) -> None:
        self._shards, self._options, self._output, self._events = shards, options, output, events
        self._near = options.near_duplicates != "keep"
        self._steps = DocumentSteps(options)
        self._texts = Texts(work / "texts", width=options.near_width, near=self._near)
        self._spool = (work / "documents").open("w+b")
        self._reader: IO[bytes] = (work / "documents").open("rb")
        # Byte of each document in the spool, and its place: split, characters, bytes of text.
        self._places = (work / "places").open("w+b")
        self._total = sum(shard.path.stat().st_size for shard in shards)
        self._told = 0.0
        self._result = Prepared(tally=self._steps.tally)

    def run(self) -> Prepared:
        self._first_pass()
        places = self._read_places()
        kept, leaders = self._grouped(len(places))
        splits = self._split(places, kept, leaders)
        self._write(places, kept, splits)
        tally = self._result.tally
        self._events.log(
            f"Read {tally.seen:,} documents, kept {self._result.counts['total']['documents']:,}. "
            + ", ".join(f"{step}: {n:,} dropped" for step, n in tally.dropped.items() if n)
        )
        return self._result

    def close(self) -> None:
        for file in (self._spool, self._reader, self._places):
            file.close()
        self._texts.close()

    def _first_pass(self) -> None:
        offset = done = 0
        for row in read_rows(self._shards):
            done += row.size
            kept = self._steps.take(row)
            if isinstance(kept, Kept):
                self._texts.add(normalised(kept.text))
                line = json_line(kept.record)
                self._spool.write(line)
                self._place(offset, row, kept)
                offset += len(line)
            self._tell("cleaning", done, self._total, 0.0, _FIRST)
        self._spool.flush()
        if not self._texts.count:
            raise self._nothing()

    def _place(self, offset: int, row: Row, kept: Kept) -> None:
        size = len(kept.text) if kept.text.isascii() else len(kept.text.encode())
        place = (offset, len(kept.text), size, SPLITS.index(row.split))
        self._places.write(np.array(place, np.int64).tobytes())

    def _read_places(self) -> npt.NDArray[np.int64]:
        self._places.seek(0)
        found = np.fromfile(self._places, np.int64)
        return found.reshape(-1, 4)

    def _grouped(self, count: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
        """Which documents stay, and the leader of each: documents with one stay together."""
        options, dropped = self._options, self._result.tally.dropped
        first = self._texts.equal()
        kept = np.ones(count, bool)
        numbers = np.arange(count, dtype=np.int32)
        if options.exact_duplicates == "drop":
            kept &= first == numbers
            dropped["exact"] = int(count - kept.sum())
        if not self._near:
            return kept, first
        self._places.flush()
        self._offsets = self._read_places()[:, 0]
        leaders = self._texts.near(first, self._text, options.near_threshold, self._band)
        if options.near_duplicates == "drop":
            alike = kept & (leaders != first) & (leaders != numbers)
            kept &= ~alike
            dropped["near"] = int(alike.sum())
        return kept, leaders

    def _band(self, band: int) -> None:
        self._tell("comparing", band + 1, 16, _FIRST, _SECOND, force=True)

    def _text(self, number: int) -> str:
        self._reader.seek(int(self._offsets[number]))
        return normalised(document_of(self._reader.readline())[1])

    def _split(
        self,
        places: npt.NDArray[np.int64],
        kept: npt.NDArray[np.bool_],
        leaders: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.int8]:
        """0 for training, 1 for validation; whoever has the same leader goes the same way."""
        if self._options.split == "keep":
            as_before: npt.NDArray[np.int8] = places[leaders, 3].astype(np.int8)
            return as_before
        shares = np.zeros(len(places), np.float64)
        with_share = np.unique(leaders[kept])
        for number in with_share.tolist():
            shares[number] = split_of(self._texts.digest(number), self._options.seed)
            self._tell("splitting", number, len(places), _SECOND, _THIRD)
        chosen = (shares < self._options.validation_fraction).astype(np.int8)
        return self._never_empty(chosen, shares, with_share)[leaders]

    def _never_empty(
        self,
        chosen: npt.NDArray[np.int8],
        shares: npt.NDArray[np.float64],
        leaders: npt.NDArray[np.int32],
    ) -> npt.NDArray[np.int8]:
        """Of a few documents chance may hold out none, or all: the nearest to the border then."""
        if self._options.validation_fraction > 0 and len(leaders) > 1:
            held_out = chosen[leaders].sum()
            if held_out == 0:
                chosen[leaders[np.argmin(shares[leaders])]] = 1
            elif held_out == len(leaders):
                chosen[leaders[np.argmax(shares[leaders])]] = 0
        return chosen

    def _write(
        self,
        places: npt.NDArray[np.int64],
        kept: npt.NDArray[np.bool_],
        splits: npt.NDArray[np.int8],
    ) -> None:
        if not kept.any():
            raise self._nothing()
        limit = self._options.shard_mib << 20
        shards = [Shards(self._output / split, limit) for split in SPLITS]
        self._reader.seek(0)
        for number, line in enumerate(self._spooled()):
            if kept[number]:
                _offset, characters, size, _split = places[number]
                shards[splits[number]].add(line, characters=int(characters), size=int(size))
                if len(self._result.preview) < PREVIEW_DOCUMENTS:
                    self._preview(line, SPLITS[splits[number]])
            self._tell("writing", number, len(places), _THIRD, 100.0)
        for part in shards:
            part.close()
        counts = {split: part.counts() for split, part in zip(SPLITS, shards, strict=True)}
        total = {name: sum(split[name] for split in counts.values()) for name in counts["train"]}
        self._result.counts = {**counts, "total": total}

    def _spooled(self) -> Any:
        while line := self._reader.readline():
            yield line

    def _preview(self, line: bytes, split: str) -> None:
        text = document_of(line)[1]
        self._result.preview.append(
            {"text": text[:PREVIEW_CHARACTERS], "characters": len(text), "source": split, "line": 0}
        )

    def _nothing(self) -> NothingLeft:
        tally = self._result.tally
        if not tally.seen:
            return NothingLeft("parent", "The version holds no documents.")
        return NothingLeft(
            tally.worst,
            f"No document is left. The step {tally.worst!r} dropped "
            f"{tally.dropped[tally.worst]:,} of {tally.seen:,}. Loosen it and prepare again.",
        )

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

"""Builds a corpus from sources: read once into a spool, then split into shards. Bounded memory."""

import json
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers.lm.corpus.readers import Found, Reader, text_mode
from workers.lm.corpus.shards import SHARD_BYTES, Shards
from workers.lm.corpus.sources import Allowance, InvalidSource, Source
from workers.lm.data.questions import SHAPES
from workers.lm.errors import Stopped
from workers.lm.events import Events

PREVIEW_DOCUMENTS = 20
PREVIEW_CHARACTERS = 600
#: Rows passed over that are named.
INVALID_NAMED = 100


@dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """How sources become documents, and which of these are held out."""

    shape: str = "documents"
    text_field: str = "text"
    document: str = "auto"
    split: str = "random"
    validation_fraction: float = 0.1
    seed: int = 1337
    max_documents: int | None = None
    invalid_rows: str = "refuse"
    limit_bytes: int = 64 << 30
    shard_bytes: int = SHARD_BYTES


@dataclass(kw_only=True)
class Corpus:
    """What came of it; the shards lie in the output folder."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    preview: list[dict[str, Any]] = field(default_factory=list)
    empty_skipped: int = 0
    #: Rows that do not fit and were passed over: how many, and the first of them.
    invalid_count: int = 0
    invalid_rows: list[dict[str, Any]] = field(default_factory=list)
    documents: int = 0
    characters: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "counts": self.counts, "sources": self.sources, "preview": self.preview,
            "empty_skipped": self.empty_skipped,
            "facts": {"invalid": {"count": self.invalid_count, "rows": self.invalid_rows}},
        }  # fmt: skip


def build_corpus(
    sources: Sequence[Source],
    options: CorpusOptions,
    work_dir: Path,
    output_dir: Path,
    events: Events,
) -> Corpus:
    """Write `train/` and `validation/` shards under `output_dir`.

    The same sources and options always give the same bytes. Raises InvalidSource, naming file and
    line, and Stopped.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    spool = work_dir / "documents.spool"
    corpus = _Reading(sources, options, work_dir, events).write(spool)
    if corpus.documents == 0:
        raise InvalidSource("The files hold no documents: nothing but empty lines or rows.")
    events.log(
        f"Read {corpus.documents:,} documents with {corpus.characters:,} characters from "
        f"{len(sources)} files; {corpus.empty_skipped:,} empty ones were passed over."
    )
    _Splitting(options, corpus, output_dir, events).write(spool)
    spool.unlink()
    return corpus


class _Reading:
    """First pass: each document as `characters bytes cut held-out <TAB> JSON` into the spool."""

    def __init__(
        self, sources: Sequence[Source], options: CorpusOptions, work_dir: Path, events: Events
    ) -> None:
        self._sources, self._options, self._work, self._events = sources, options, work_dir, events
        self._allowance = Allowance(options.limit_bytes)
        self._done, self._total = 0, sum(source.size for source in sources)
        self._began, self._told = time.monotonic(), 0.0
        self._corpus = Corpus()

    def write(self, spool: Path) -> Corpus:
        with spool.open("wb") as out:
            for source in self._sources:
                for line in self._lines(source):
                    out.write(line)
        return self._corpus

    def _lines(self, source: Source) -> Iterator[bytes]:
        options, corpus = self._options, self._corpus
        reader = Reader(
            source,
            mode=text_mode(self._sources, options.document),
            text_field=options.text_field,
            allowance=self._allowance,
            work_dir=self._work,
            on_invalid=self._invalid(source.name) if options.invalid_rows == "skip" else None,
            shape=options.shape,
        )
        if options.max_documents is None or corpus.documents < options.max_documents:
            before = corpus.documents
            for found in reader:
                if found.text.strip():
                    yield self._keep(found, source)
                else:
                    corpus.empty_skipped += 1
                if corpus.documents % 64 == 0:
                    self._tell(reader.raw.count)
                if corpus.documents == options.max_documents:
                    break
            if corpus.documents == before:
                raise self._no_documents(source.name)
        digest = reader.finish()
        corpus.sources.append({"name": source.name, "size": source.size, "sha256": digest})
        self._done += source.size
        self._tell(0, force=True)

    def _invalid(self, name: str) -> Callable[[int, str], None]:
        def pass_over(line: int, why: str) -> None:
            corpus = self._corpus
            corpus.invalid_count += 1
            if len(corpus.invalid_rows) < INVALID_NAMED:
                corpus.invalid_rows.append({"file": name, "line": line, "detail": why[:300]})

        return pass_over

    def _no_documents(self, name: str) -> InvalidSource:
        of_it = [row for row in self._corpus.invalid_rows if row["file"] == name]
        if of_it:
            first = f"{name} line {of_it[0]['line']}: {of_it[0]['detail']}"
            return InvalidSource(f"{name} holds no documents that fit. {first}")
        return InvalidSource(f"{name} holds no documents, only empty lines or rows.")

    def _keep(self, found: Found, source: Source) -> bytes:
        corpus, text = self._corpus, found.text
        if len(corpus.preview) < PREVIEW_DOCUMENTS:
            corpus.preview.append(
                {
                    "text": text[:PREVIEW_CHARACTERS],
                    "characters": len(text),
                    "source": source.name,
                    "line": found.line,
                }
            )
        corpus.documents += 1
        corpus.characters += len(text)
        size = len(text) if text.isascii() else len(text.encode())
        head = f"{len(text)} {size} {int(found.whole_file)} {int(source.held_out)}\t"
        return (head + _json(found.record)).encode()

    def _tell(self, here: int, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._told < 0.5:
            return
        self._told = now
        if self._events.should_stop():
            raise Stopped(self._corpus.documents, None)
        done = min(self._total, self._done + here)
        left = (now - self._began) * (self._total - done) / done if done else None
        self._events.progress(
            step=done, total=self._total, stage="reading",
            percent=80.0 * done / max(1, self._total), eta_s=left,
        )  # fmt: skip


class _Splitting:
    """Second pass: each document of the spool goes to a shard of its split."""

    def __init__(
        self, options: CorpusOptions, corpus: Corpus, output_dir: Path, events: Events
    ) -> None:
        self._options, self._corpus, self._events = options, corpus, events
        self._train = Shards(output_dir / "train", options.shard_bytes)
        self._validation = Shards(output_dir / "validation", options.shard_bytes)

    def write(self, spool: Path) -> None:
        with spool.open("rb") as lines:
            if self._options.shape in SHAPES:
                self._held_out(lines)
            elif self._options.split == "named":
                self._named(lines)
            elif self._options.split == "contiguous" and self._options.validation_fraction > 0:
                self._contiguous(lines)
            else:
                self._random(lines)
        self._train.close()
        self._validation.close()
        splits = {"train": self._train.counts(), "validation": self._validation.counts()}
        total = {name: sum(split[name] for split in splits.values()) for name in splits["train"]}
        self._corpus.counts = {**splits, "total": total}

    def _held_out(self, lines: Any) -> None:
        """Questions are never trained on."""
        for index, line in enumerate(lines):
            self._add(self._validation, line)
            self._tell(index)

    def _random(self, lines: Any) -> None:
        """Exactly round(fraction x documents), each set of that size as likely as any other."""
        count = self._corpus.documents
        wanted = round(self._options.validation_fraction * count)
        if self._options.validation_fraction > 0:
            if count < 2:
                raise _too_few(self._options)
            wanted = min(max(1, wanted), count - 1)
        chance = random.Random(self._options.seed)
        for index, line in enumerate(lines):
            held_out = chance.random() * (count - index) < wanted
            wanted -= held_out
            self._add(self._validation if held_out else self._train, line)
            self._tell(index)

    def _named(self, lines: Any) -> None:
        """As it was said of each file."""
        for index, line in enumerate(lines):
            *_, apart = line.partition(b"\t")[0].split()
            self._add(self._validation if int(apart) else self._train, line)
            self._tell(index)
        if not self._train.counts()["documents"]:
            raise InvalidSource(
                "All files are named as held out; none is left to train on.", "split"
            )

    def _contiguous(self, lines: Any) -> None:
        """The end of the text, counted in characters. Only a whole file is cut in two for that."""
        count, characters = self._corpus.documents, self._corpus.characters
        border = math.floor(characters * (1 - self._options.validation_fraction))
        border = min(max(1, border), characters - 1)
        start = 0
        for index, line in enumerate(lines):
            head, _, body = line.partition(b"\t")
            length, _, whole, _ = (int(part) for part in head.split())
            if start < border < start + length and whole:
                self._cut(body, border - start)
            elif count < 2:
                raise _too_few(self._options)
            else:
                before = index == 0 or (start + length / 2 <= border and index < count - 1)
                self._add(self._train if before else self._validation, line)
            start += length
            self._tell(index)

    def _cut(self, body: bytes, at: int) -> None:
        text = json.loads(body)["text"]
        for shards, part in ((self._train, text[:at]), (self._validation, text[at:])):
            line = _json({"text": part}).encode()
            shards.add(line, characters=len(part), size=len(part.encode()))

    @staticmethod
    def _add(shards: Shards, line: bytes) -> None:
        head, _, body = line.partition(b"\t")
        characters, size, *_ = (int(part) for part in head.split())
        shards.add(body, characters=characters, size=size)

    def _tell(self, index: int) -> None:
        if index % 4096 == 0:
            if self._events.should_stop():
                raise Stopped(index, None)
            count = self._corpus.documents
            self._events.progress(
                step=index, total=count, stage="splitting",
                percent=80.0 + 20.0 * index / count, eta_s=None,
            )  # fmt: skip


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n"


def _too_few(options: CorpusOptions) -> InvalidSource:
    return InvalidSource(
        "There is only one document, so none can be held out for validation. Choose paragraph or "
        "line as the document, or file with the contiguous split, or a fraction of 0.",
        "split" if options.split == "random" else "document",
    )

"""Train an n-gram model or a hidden Markov model from documents to a folder that can be served."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from workers.lm.data.documents import Documents
from workers.lm.data.token_store import TokenStore
from workers.lm.data.tokenising import lines_of, tokenise
from workers.lm.durable import file_digest, folder_published, remove_folder
from workers.lm.errors import InvalidTraining, Stopped
from workers.lm.events import Events
from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.hmm.picture import picture
from workers.lm.families.hmm.progress import HmmProgress
from workers.lm.families.hmm.spec import HmmSpec
from workers.lm.families.hmm.training import train_hmm
from workers.lm.families.markov import MarkovModel
from workers.lm.families.markov_folder import markov_facts, parameters_of, save_markov
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram
from workers.lm.tokenizers.saved import end_token, load_tokenizer, save_tokenizer
from workers.lm.tokenizers.units import Units
from workers.lm.training.checkpoints import (
    Checkpoint,
    newest_valid_checkpoint,
    retain_checkpoints,
    sweep_unfinished,
    write_checkpoint,
)
from workers.lm.training.export import FACTS
from workers.lm.training.markov_samples import markov_text
from workers.lm.training.report import Report

NGRAM, HMM = "ngram", "hmm"
KEEP_CHECKPOINTS = 2
#: What the states say and how they follow each other, for a page to draw.
PICTURE = "picture.json"
#: Of a longer training text the beginning is scored for its loss.
SCORED_TOKENS = 2_000_000


@dataclass(frozen=True, kw_only=True)
class MarkovResult:
    """What a finished training hands back: figures, the facts of the model, its files."""

    figures: dict[str, Any]
    facts: dict[str, Any]
    files: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class _Data:
    tokenizer: PreTrainedTokenizerFast
    train: TokenStore
    validation: TokenStore


def train_markov(
    family: str,
    settings: Mapping[str, Any],
    train_files: Sequence[Path | str],
    validation_files: Sequence[Path | str],
    work_dir: Path | str,
    checkpoint_dir: Path | str,
    output_dir: Path | str,
    events: Events,
    attempt: int = 1,
) -> MarkovResult:
    """Train as `settings` say, units and family together, and publish the model in `output_dir`.

    Losses are nats per unit. Raises InvalidTraining before any work and Stopped when asked to stop.
    """
    units, rest = _split(settings)
    units.check()
    begun = time.perf_counter()
    checkpoints = Path(checkpoint_dir)
    sweep_unfinished(checkpoints, attempt)
    total = int(rest.get("iterations", rest.get("order", 1)))
    report = Report(events, total)
    data = _prepare(units, _paths(train_files), _paths(validation_files), Path(work_dir), report)
    report.stage("training")
    model: MarkovModel
    if family == NGRAM:
        model = _ngram(rest, data, report, events)
    elif family == HMM:
        model = _Baum(rest, data, report, events, checkpoints, attempt).train()
    else:
        raise InvalidTraining("family", f"There is no family {family} of this kind.")
    report.stage("saving")
    figures = _figures(model, data, report, begun)
    text = markov_text(model, data.tokenizer)
    events.sample(step=report.step, place=0, prompt="", text=text)
    return _publish(family, units, model, data, figures, dict(settings), Path(output_dir))


def _split(settings: Mapping[str, Any]) -> tuple[Units, dict[str, Any]]:
    names = {field.name for field in fields(Units)}
    units = Units(**{name: value for name, value in settings.items() if name in names})
    return units, {name: value for name, value in settings.items() if name not in names}


def _paths(files: Sequence[Path | str]) -> list[Path]:
    return [Path(file) for file in files]


def _prepare(
    units: Units, train: list[Path], validation: list[Path], work: Path, report: Report
) -> _Data:
    report.stage("preparing")
    if Documents(train).total_bytes == 0:
        raise InvalidTraining("dataset", "There are no training documents.")
    if Documents(validation).total_bytes == 0:
        raise InvalidTraining("dataset", "The validation set is empty; give held-out documents.")
    tokenizer = _learned(units, train, work, report)
    report.stage("tokenizing")
    stores = [
        tokenise(files, tokenizer, work, report.share, by_line=units.by_line)
        for files in (train, validation)
    ]
    data = _Data(tokenizer, *stores)
    report.log(
        f"Training on {len(data.train):,} units in {data.train.documents:,} sentences, validating "
        f"on {len(data.validation):,}; {len(tokenizer):,} units in the vocabulary."
    )
    for store, which in ((data.train, "training"), (data.validation, "validation")):
        if len(store) == 0:
            raise InvalidTraining("dataset", f"The {which} documents hold no text.")
    return data


def _learned(
    units: Units, files: list[Path], work: Path, report: Report
) -> PreTrainedTokenizerFast:
    """Learn the tokenizer, or take the one that an earlier attempt learned from the same."""
    key = hashlib.sha256(json.dumps(asdict(units), sort_keys=True).encode())
    for file in files:
        key.update(file.suffix.encode() + file_digest(file).encode())
    folder = work / "tokenizers" / key.hexdigest()[:32]
    if not folder.is_dir():
        tokenizer = units.learn(_texts(units, files, report))
        with folder_published(folder) as aside:
            save_tokenizer(tokenizer, aside)
    return load_tokenizer(folder)


def _texts(units: Units, files: list[Path], report: Report) -> Iterator[str]:
    documents = Documents(files)
    for document in documents:
        if document.index % 256 == 0:
            report.share(documents.share_read)
        yield from lines_of(document.text) if units.by_line else (document.text,)


def _arrays(store: TokenStore) -> tuple[Any, Any]:
    return np.asarray(store.tokens, dtype=np.int64), np.asarray(store.offsets, dtype=np.int64)


def _ngram(rest: dict[str, Any], data: _Data, report: Report, events: Events) -> MarkovModel:
    spec = NgramSpec.from_dict({**rest, "prune": list(rest.get("prune", ()))[: rest["order"]]})
    spec.check()
    vocabulary = Vocabulary(
        size=len(data.tokenizer),
        end=end_token(data.tokenizer),
        unknown=data.tokenizer.unk_token_id,
    )

    def counted(order: int) -> None:
        report.step = order
        report.steps(None, force=True)
        if events.should_stop():
            raise Stopped(order, None)

    return train_ngram(spec, *_arrays(data.train), vocabulary, counted)


class _Baum:
    """Baum and Welch's iterations with their figures and checkpoints."""

    def __init__(
        self, rest: dict[str, Any], data: _Data, report: Report, events: Events,
        folder: Path, attempt: int,
    ) -> None:  # fmt: skip
        self._every = int(rest.pop("checkpoint_every"))
        self._spec = HmmSpec.from_dict(rest)
        self._spec.check()
        self._data, self._report, self._events = data, report, events
        self._folder, self._attempt = folder, attempt
        self._print = data.train.fingerprint
        self._begun = time.perf_counter()
        self._seen = 0

    def train(self) -> MarkovModel:
        resume = self._resumed()
        return train_hmm(
            self._spec, *_arrays(self._data.train), len(self._data.tokenizer),
            self._iterated, resume,
        )  # fmt: skip

    def _resumed(self) -> HmmProgress | None:
        found = newest_valid_checkpoint(
            self._folder, lambda torn, why: self._report.log(f"Passing over {torn.name}: {why}")
        )
        if found is None:
            return None
        if found.state["spec"] != self._spec.to_dict() or found.state["data"] != self._print:
            self._report.log("The checkpoint is of other settings or data; beginning anew.")
            return None
        self._report.log(f"Going on from checkpoint {found.path.name}.")
        self._report.step = found.step
        return HmmProgress.load(found.path)

    def _iterated(self, progress: HmmProgress) -> None:
        done = progress.restart * self._spec.iterations + progress.iteration
        self._report.step = progress.iteration
        self._events.metric(done, {"loss": -progress.log_likelihood})
        self._seen += 1
        left = self._spec.iterations - progress.iteration
        self._report.steps(left * (time.perf_counter() - self._begun) / self._seen)
        stopping = self._events.should_stop()
        saved = None
        if stopping or (self._every and done % self._every == 0):
            saved = self._save(done, progress)
        if stopping:
            raise Stopped(done, saved.path if saved else None)

    def _save(self, done: int, progress: HmmProgress) -> Checkpoint:
        saved = write_checkpoint(
            self._folder, step=done, attempt=self._attempt,
            metrics={"loss": -progress.log_likelihood},
            state={"spec": self._spec.to_dict(), "data": self._print}, fill=progress.save,
        )  # fmt: skip
        self._events.checkpoint(
            step=saved.step, path=saved.path, digest=saved.digest, size_bytes=saved.size_bytes,
            metrics=saved.metrics,
        )  # fmt: skip
        retain_checkpoints(self._folder, KEEP_CHECKPOINTS)
        return saved


def _figures(model: MarkovModel, data: _Data, report: Report, begun: float) -> dict[str, Any]:
    train_loss = _loss(model, data.train, SCORED_TOKENS)
    validation_loss = _loss(model, data.validation)
    report.metric({"train_loss": train_loss, "validation_loss": validation_loss})
    report.log(f"validation loss {validation_loss:.4f} nats per unit")
    seconds = time.perf_counter() - begun
    return {
        "parameters": parameters_of(model),
        "vocab_size": model.vocab_size,
        "train_tokens": len(data.train),
        "validation_tokens": len(data.validation),
        "tokens_seen": len(data.train) * max(1, model.facts().get("iterations", 1)),
        "train_loss": train_loss,
        "validation_loss": validation_loss,
        "unigram_entropy": data.validation.unigram_entropy(len(data.tokenizer)),
        "seconds": seconds,
        "tokens_per_second": len(data.train) / max(seconds, 1e-9),
    }


def _loss(model: MarkovModel, store: TokenStore, most: int | None = None) -> float:
    tokens, offsets = _arrays(store)
    if most is not None and len(tokens) > most:
        last = max(1, int(np.searchsorted(offsets, most, side="right")) - 1)
        tokens, offsets = tokens[: offsets[last]], offsets[: last + 1]
    return -float(model.score(tokens, offsets).mean())


def _names(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """What each unit stands for, as people read it."""
    plain = [tokenizer.decode([number]) for number in range(len(tokenizer))]
    marks = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    special = set(tokenizer.all_special_ids)
    return [
        str(mark if number in special or not text else text)
        for number, (text, mark) in enumerate(zip(plain, marks, strict=True))
    ]


def _publish(
    family: str, units: Units, model: MarkovModel, data: _Data, figures: dict[str, Any],
    settings: dict[str, Any], output_dir: Path,
) -> MarkovResult:  # fmt: skip
    passing = {"seconds", "tokens_per_second"}
    record = {
        "result": {name: value for name, value in figures.items() if name not in passing},
        "spec": settings,
        "data": {"train": data.train.fingerprint, "validation": data.validation.fingerprint},
    }
    if output_dir.exists() and any(output_dir.iterdir()):
        remove_folder(output_dir)  # left by an attempt that died after publishing
    with folder_published(output_dir) as aside:
        save_markov(aside, family, units, model)
        save_tokenizer(data.tokenizer, aside)
        if isinstance(model, HmmModel):
            shown = picture(model, _names(data.tokenizer))
            (aside / PICTURE).write_text(json.dumps(shown, sort_keys=True))
        (aside / FACTS).write_text(json.dumps(record, indent=1, sort_keys=True))
    files = {
        path.name: {"sha256": file_digest(path), "size": path.stat().st_size}
        for path in sorted(output_dir.iterdir())
    }
    facts = markov_facts(family, units, model)
    return MarkovResult(figures=figures, facts=facts, files=files)

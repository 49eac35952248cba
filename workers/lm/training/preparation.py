"""Everything before the first step: the tokenizer, the tokens, and whether they suffice."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from workers.lm.data.answers import tokenise_answers
from workers.lm.data.documents import Documents
from workers.lm.data.token_store import TokenStore
from workers.lm.data.tokenising import tokenise
from workers.lm.durable import file_digest, folder_published
from workers.lm.errors import InvalidTraining
from workers.lm.tokenizers import bytepair, character
from workers.lm.tokenizers.markers import CHAT_TEMPLATE, ROLE_MARKERS
from workers.lm.tokenizers.saved import load_tokenizer, save_tokenizer
from workers.lm.training.report import Report
from workers.lm.training.spec import TrainSpec

# Pairs are counted on an even sample of larger sets: more text no longer changes the merges much.
LEARN_FROM_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Prepared:
    """What the loop trains on."""

    tokenizer: PreTrainedTokenizerFast
    train: TokenStore
    validation: TokenStore
    unigram_entropy: float


def check_files(
    spec: TrainSpec, train_files: Sequence[Path], validation_files: Sequence[Path]
) -> None:
    """Refuse, by the files' sizes alone, data that cannot be enough."""
    train_bytes = Documents(train_files).total_bytes
    if train_bytes == 0:
        raise InvalidTraining("dataset", "There are no training documents.")
    if Documents(validation_files).total_bytes == 0:
        raise InvalidTraining(
            "dataset", "The validation set is empty; give a dataset with held-out documents."
        )
    if spec.loss_on == "all" and _plain(train_files) and train_bytes <= spec.sequence_length:
        raise _too_short(spec, train_bytes, "bytes")
    smallest = {
        "bpe": bytepair.SMALLEST_VOCABULARY, "char": character.SMALLEST_VOCABULARY
    }.get(spec.tokenizer, 0)  # fmt: skip
    if spec.vocab_size < smallest:
        raise InvalidTraining(
            "vocab_size", f"Must be at least {smallest} with the {spec.tokenizer} tokenizer."
        )
    if spec.tokenizer == "bpe" and _plain(train_files) and spec.vocab_size > 256 + train_bytes:
        raise InvalidTraining(
            "vocab_size",
            f"{spec.vocab_size:,} tokens cannot be learned from {train_bytes:,} bytes of text.",
        )


def prepare(
    spec: TrainSpec,
    train_files: Sequence[Path],
    validation_files: Sequence[Path],
    work_dir: Path,
    report: Report,
    known_tokenizer: Path | None,
) -> Prepared:
    """Read or learn the tokenizer and tokenise both sets; refuses data that is too short."""
    report.stage("preparing")
    if known_tokenizer is not None:
        tokenizer = load_tokenizer(known_tokenizer)
    else:
        tokenizer = _learned(spec, train_files, work_dir, report)
    report.stage("tokenizing")
    read = tokenise_answers if spec.loss_on == "answers" else tokenise
    train = read(train_files, tokenizer, work_dir, lambda share: report.share(share * 0.9))
    validation = read(
        validation_files, tokenizer, work_dir, lambda share: report.share(0.9 + share * 0.1)
    )
    report.log(
        f"Training on {len(train):,} tokens of {train.documents:,} documents, "
        f"validating on {len(validation):,} of {validation.documents:,}; "
        f"{len(tokenizer):,} tokens in the vocabulary."
    )
    if train.counted is not None:
        report.log(
            f"Learning {int(np.count_nonzero(train.counted)):,} of these tokens, those of answers."
        )
    elif len(train) <= spec.sequence_length:
        raise _too_short(spec, len(train), "tokens")
    if len(validation) < 2:
        raise InvalidTraining("dataset", "The validation set holds no text.")
    _offer_chat(tokenizer, train)
    return Prepared(tokenizer, train, validation, validation.unigram_entropy(len(tokenizer)))


def _learned(
    spec: TrainSpec, files: Sequence[Path], work_dir: Path, report: Report
) -> PreTrainedTokenizerFast:
    """Learn the tokenizer, or take the one that an earlier attempt learned from the same."""
    key = hashlib.sha256(f"tokenizer-1 {spec.tokenizer} {spec.vocab_size}".encode())
    for file in files:
        key.update(file.suffix.encode() + file_digest(file).encode())
    folder = work_dir / "tokenizers" / key.hexdigest()[:32]
    if not folder.is_dir():
        report.log(f"Learning the {spec.tokenizer} tokenizer.")
        learn = bytepair.learn_bytepair if spec.tokenizer == "bpe" else character.learn_characters
        tokenizer = learn(_texts(spec, files, report), spec.vocab_size)
        with folder_published(folder) as aside:
            save_tokenizer(tokenizer, aside)
    tokenizer = load_tokenizer(folder)
    if spec.tokenizer == "bpe" and len(tokenizer) < spec.vocab_size:
        report.log(
            f"The documents yield only {len(tokenizer):,} tokens of the {spec.vocab_size:,} asked.",
            "warning",
        )
    return tokenizer


def _texts(spec: TrainSpec, files: Sequence[Path], report: Report) -> Iterator[str]:
    documents = Documents(files)
    every = 1
    if spec.tokenizer == "bpe":
        every = max(1, -(-documents.total_bytes // LEARN_FROM_BYTES))
    for document in documents:
        if document.index % 256 == 0:
            report.share(documents.share_read)
        if document.index % every == 0:
            yield document.text


def _offer_chat(tokenizer: PreTrainedTokenizerFast, train: TokenStore) -> None:
    """Attach the chat template once the training text really holds conversations."""
    if tokenizer.chat_template is not None:
        return
    markers = [tokenizer.convert_tokens_to_ids(marker) for marker in ROLE_MARKERS[1:]]
    if any(marker is None or marker == tokenizer.unk_token_id for marker in markers):
        return
    counts = train.counts(len(tokenizer))
    if all(counts[marker] > 0 for marker in markers):
        tokenizer.chat_template = CHAT_TEMPLATE


def _plain(files: Sequence[Path]) -> bool:
    return all(file.suffix != ".zst" for file in files)


def _too_short(spec: TrainSpec, have: int, unit: str) -> InvalidTraining:
    return InvalidTraining(
        "sequence_length",
        f"The training set has only {have:,} {unit}, too few for a sequence of "
        f"{spec.sequence_length:,} tokens. Shorten the sequence or add documents.",
    )

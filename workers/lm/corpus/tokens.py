"""Stores the tokens of a prepared version beside its texts, shard by shard."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from workers.lm.corpus.steps import PrepareOptions
from workers.lm.errors import Stopped
from workers.lm.events import Events

SPLITS = ("train", "validation")


def write_tokens(
    options: PrepareOptions,
    tokenizer_dir: Path | None,
    work_dir: Path,
    output_dir: Path,
    events: Events,
) -> dict[str, Any]:
    """Write `tokens/<split>/<shard>/` for each text shard, and `tokenizer/`; returns the counts.

    The tokenizer is that of `tokenizer_dir`, or is learned from the training split.
    """
    from workers.lm.data.documents import Documents
    from workers.lm.data.tokenising import tokenise
    from workers.lm.tokenizers.bytepair import learn_bytepair
    from workers.lm.tokenizers.character import learn_characters
    from workers.lm.tokenizers.saved import load_tokenizer, save_tokenizer

    def look(share: float, stage: str = "tokenizing") -> None:
        if events.should_stop():
            raise Stopped(0, None)
        events.progress(step=0, total=1, stage=stage, percent=100.0 * share, eta_s=None)

    if tokenizer_dir is not None:
        tokenizer = load_tokenizer(tokenizer_dir)
    else:
        learn = learn_bytepair if options.tokenizer == "bpe" else learn_characters
        files = sorted((output_dir / "train").glob("*.jsonl"))
        texts = _texts(Documents(files), lambda share: look(share, "learning"))
        tokenizer = learn(texts, options.vocab_size)
    save_tokenizer(tokenizer, output_dir / "tokenizer")
    counts: dict[str, Any] = {"vocabulary": len(tokenizer)}
    for split in SPLITS:
        counts[split] = 0
        for file in sorted((output_dir / split).glob("*.jsonl")):
            store = tokenise([file], tokenizer, work_dir / "tokens", look)
            counts[split] += len(store)
            made = work_dir / "tokens" / "tokens" / store.fingerprint
            target = output_dir / "tokens" / split / file.stem
            del store
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(made, target)
            shutil.rmtree(made)
    return counts


def _texts(documents: Any, look: Callable[[float], None]) -> Iterator[str]:
    for number, document in enumerate(documents):
        if number % 256 == 0:
            look(documents.share_read)
        yield document.text

"""The source of a conversion, opened to be measured against: a model, an adapter, an n-gram."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.lm.errors import UnusableModel
from workers.lm.families.markov_folder import load_markov, parameters_of
from workers.lm.families.transformer import context_of, load_model
from workers.lm.formats.arpa import MarkovReader
from workers.lm.formats.base import Format, Reader
from workers.lm.formats.merged import BASE, open_adapter
from workers.lm.formats.weights import TorchReader, read_config
from workers.lm.tokenizers.saved import load_tokenizer

_UNLIMITED = 2048


@dataclass(frozen=True, kw_only=True)
class Source:
    """What computes, what cuts text, how many tokens fit, and how many weights there are."""

    reader: Reader
    tokenizer: Any
    context: int
    parameters: int


def check(folder: Path, chosen: Format) -> None:
    """The tokenizer fits the weights and the architecture can be written, before any work."""
    if chosen.takes == "ngram":
        load_markov(folder)
        return
    whole = folder / BASE if chosen.takes_adapter else folder
    config = read_config(whole)
    chosen.check(config)
    known, width = len(load_tokenizer(whole)), int(config.get("vocab_size") or 0)
    if known > width:
        raise UnusableModel(
            f"The tokenizer knows {known:,} tokens, the model only {width:,}: they do not belong "
            "together."
        )


def open_source(folder: Path, chosen: Format, threads: int) -> Source:
    """Load it. Raises UnusableModel with the reason."""
    if chosen.takes == "ngram":
        loaded = load_markov(folder)
        return Source(
            reader=MarkovReader(loaded.model, "n-gram model"), tokenizer=loaded.tokenizer,
            context=_UNLIMITED, parameters=parameters_of(loaded.model),
        )  # fmt: skip
    whole = folder / BASE if chosen.takes_adapter else folder
    model = load_model(whole)
    return Source(
        reader=open_adapter(folder, threads) if chosen.takes_adapter else TorchReader(model),
        tokenizer=load_tokenizer(whole),
        context=min(context_of(model.config) or _UNLIMITED, _UNLIMITED),
        parameters=sum(weight.numel() for weight in model.parameters()),
    )

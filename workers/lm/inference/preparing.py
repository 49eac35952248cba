"""From the folder of a version of any family to what the engine needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.lm.errors import UnusableModel
from workers.lm.families.markov_folder import is_markov, load_markov, parameters_of
from workers.lm.tokenizers.saved import end_token

from .errors import ModelRefused
from .loading import load
from .markov import CONTEXT, MarkovRunner
from .probe import choose_runner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .plan import Runner
    from .server import ServeOptions


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A runner that was chosen for a model, with the model's tokenizer and sizes."""

    runner: Runner
    why: str
    tokenizer: PreTrainedTokenizerBase
    eos_ids: frozenset[int]
    architecture: str
    parameters: int


def prepare(options: ServeOptions) -> Prepared:
    """Load the model and choose its runner. Raises ModelRefused with the reason."""
    if options.model_dir.is_dir() and is_markov(options.model_dir):
        return _markov(options)
    loaded = load(
        options.model_dir,
        dtype=options.dtype,
        device=options.device,
        max_context=options.max_context,
    )
    runner, why = choose_runner(
        loaded.model,
        context_length=loaded.context_length,
        max_slots=options.max_slots,
        prefill_chunk=options.prefill_chunk,
    )
    return Prepared(
        runner=runner, why=why, tokenizer=loaded.tokenizer, eos_ids=loaded.eos_ids,
        architecture=loaded.model.config.model_type, parameters=loaded.parameters,
    )  # fmt: skip


def _markov(options: ServeOptions) -> Prepared:
    if options.dtype != "fp32":
        raise ModelRefused("This family is served with the number format fp32; choose that.")
    try:
        loaded = load_markov(options.model_dir)
    except UnusableModel as error:
        raise ModelRefused(str(error)) from error
    runner = MarkovRunner(
        loaded.model,
        context_length=options.max_context or CONTEXT,
        max_slots=options.max_slots,
        prefill_chunk=options.prefill_chunk,
    )
    return Prepared(
        runner=runner, why="one reader for each sequence", tokenizer=loaded.tokenizer,
        eos_ids=frozenset({end_token(loaded.tokenizer)}), architecture=loaded.family,
        parameters=parameters_of(loaded.model),
    )  # fmt: skip

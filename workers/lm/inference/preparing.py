"""From the folder of a version of any family to the backend that serves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.lm.errors import UnusableModel
from workers.lm.families.markov_folder import is_markov, load_markov, parameters_of
from workers.lm.tokenizers.saved import end_token

from .detokenize import TokenizerText
from .drafts import Drafter, load_guesser
from .engine import Engine
from .errors import ModelRefused
from .kv_cache import SlotBlocks
from .loading import load
from .markov import CONTEXT, MarkovRunner
from .packed import PackedRunner
from .parallel import ParallelBlocks, ParallelRunner, lead
from .pooling import Embedder
from .prefixes import PrefixCache
from .probe import choose_runner

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from .backend import Backend
    from .plan import Runner
    from .server import ServeOptions

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A backend over a loaded model, with the model's tokenizer and sizes."""

    engine: Backend
    why: str
    tokenizer: PreTrainedTokenizerBase
    architecture: str
    parameters: int


def prepare(options: ServeOptions, log: Log) -> Prepared:
    """Load the model and choose what computes it. Raises ModelRefused with the reason."""
    if options.backend != "slipway":
        raise ModelRefused(f"The backend {options.backend} is not known to this server.")
    if options.model_dir.is_dir() and is_markov(options.model_dir):
        return _markov(options, log)
    if options.tensor_parallel > 1:
        return _split(options, log)
    loaded = load(
        options.model_dir,
        dtype=options.dtype,
        device=options.device,
        max_context=options.max_context,
    )
    attention = loaded.model.config._attn_implementation
    runner, why = choose_runner(
        loaded.model,
        context_length=loaded.context_length,
        max_slots=options.max_slots,
        prefill_chunk=options.prefill_chunk,
    )
    engine = _engine(runner, loaded.tokenizer, loaded.eos_ids, options, log)
    engine.embedder = Embedder(
        loaded.model, attention=attention or "eager", budget=options.prefill_chunk
    )
    return Prepared(
        engine=engine,
        why=why, tokenizer=loaded.tokenizer,
        architecture=loaded.model.config.model_type, parameters=loaded.parameters,
    )  # fmt: skip


def _split(options: ServeOptions, log: Log) -> Prepared:
    runner = lead(options)
    loaded = runner.part.loaded
    try:
        engine = _engine(runner, loaded.tokenizer, loaded.eos_ids, options, log)
    except BaseException:
        runner.close()
        raise
    runner.ranks.watch(engine.fail)
    return Prepared(
        engine=engine, why=runner.part.why, tokenizer=loaded.tokenizer,
        architecture=loaded.model.config.model_type, parameters=loaded.parameters,
    )  # fmt: skip


def _markov(options: ServeOptions, log: Log) -> Prepared:
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
    eos_ids = frozenset({end_token(loaded.tokenizer)})
    return Prepared(
        engine=_engine(runner, loaded.tokenizer, eos_ids, options, log),
        why="one reader for each sequence", tokenizer=loaded.tokenizer,
        architecture=loaded.family, parameters=parameters_of(loaded.model),
    )  # fmt: skip


def _engine(
    runner: Runner,
    tokenizer: PreTrainedTokenizerBase,
    eos_ids: frozenset[int],
    options: ServeOptions,
    log: Log,
) -> Engine:
    return Engine(
        runner,
        TokenizerText(tokenizer),
        eos_ids,
        max_waiting=options.max_waiting,
        prefixes=_prefixes(runner, options),
        drafter=_drafter(tokenizer, options),
        log=log,
    )


def _prefixes(runner: Runner, options: ServeOptions) -> PrefixCache | None:
    """A store beside the slots, where the runner has any and it is wanted."""
    if not options.prefix_cache:
        return None
    store: SlotBlocks | ParallelBlocks | None = None
    if isinstance(runner, ParallelRunner):
        store = runner.blocks(options.prefix_cache_mb * 2**20 // options.tensor_parallel)
    elif isinstance(runner, PackedRunner):
        store = SlotBlocks(runner.cache, options.prefix_cache_mb * 2**20)
    return PrefixCache(store) if store is not None and store.blocks else None


def _drafter(tokenizer: PreTrainedTokenizerBase, options: ServeOptions) -> Drafter | None:
    if not options.draft:
        return None
    guesser = load_guesser(options.draft, options.draft_dir, tokenizer)
    return Drafter(guesser, options.draft_tokens)

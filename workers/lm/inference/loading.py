"""Loads a model directory that nobody vouches for: weights only, complete, finite, no code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from workers.lm.errors import InvalidWork, UnusableModel
from workers.lm.formats.int8 import is_int8
from workers.lm.formats.merged import BASE, CONFIG, load_version, tokenizer_folder
from workers.lm.int8 import load_int8

from .errors import ModelRefused
from .parts import load_part

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

_CONTEXT_FIELDS = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "seq_length",
    "max_seq_len",
    "max_seq_length",
)
_DEFAULT_CONTEXT = 2048
_FORBIDDEN_CONFIG = ("auto_map", "quantization_config", "custom_pipelines")
_JSON_LIMIT = 4 * 2**20


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to run, its tokenizer, and the numbers a server must respect."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    context_length: int
    eos_ids: frozenset[int]
    parameters: int


def load(
    directory: Path, *, dtype: str = "fp32", device: str = "cpu", max_context: int | None = None
) -> LoadedModel:
    """Load from a directory of safetensors; raises `ModelRefused` with the reason.

    An adapter is merged into the base that lies below it, in memory.
    """
    _check_files(directory)
    adapted = (directory / CONFIG).is_file()
    whole = directory / BASE if adapted else directory
    if adapted:
        _check_files(whole)
    config = _load_config(whole)
    if adapted:
        model = _load_merged(directory, DTYPES[dtype], device)
    elif is_int8(directory):
        model = _load_int8(directory, dtype, device)
    else:
        model = _load_weights(directory, config, DTYPES[dtype], device)
    return _finished(directory, config, model, max_context, _count(model))


def load_split(
    directory: Path, *, dtype: str, device: str, max_context: int | None, rank: int, world: int
) -> LoadedModel:
    """One process's part of a model in safetensors that `world` processes hold together.

    Raises `ModelRefused` with the reason; the group of processes must have met.
    """
    _check_files(directory)
    if (directory / CONFIG).is_file():
        raise ModelRefused("An adapter is not served in parts: merge it into its base first.")
    if is_int8(directory):
        raise ModelRefused("8-bit weights are not served in parts: choose one process.")
    config = _load_config(directory)
    model, parameters = load_part(
        directory, config, dtype=DTYPES[dtype], device=device, rank=rank, world=world
    )
    if (directory / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(directory)
    return _finished(directory, config, model, max_context, parameters)


def _finished(
    directory: Path,
    config: Any,
    model: PreTrainedModel,
    max_context: int | None,
    parameters: int,
) -> LoadedModel:
    tokenizer = _load_tokenizer(tokenizer_folder(directory))
    width = vocabulary_width(model)
    if len(tokenizer) > width:
        raise ModelRefused(
            f"The tokenizer knows {len(tokenizer)} tokens, the model only {width}: "
            "they do not belong together."
        )
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        context_length=_context_length(config, max_context),
        eos_ids=_eos_ids(model, tokenizer, width),
        parameters=parameters,
    )


def _check_files(directory: Path) -> None:
    if not directory.is_dir():
        raise ModelRefused("The model directory does not exist.")
    for path in directory.iterdir():
        if path.is_symlink():
            raise ModelRefused(f"{path.name} is a symbolic link; a model must hold its own files.")
    if not any(directory.glob("*.safetensors")):
        raise ModelRefused("There is no .safetensors file in the model directory.")
    index = directory / "model.safetensors.index.json"
    if index.exists():
        names = _read_json(index).get("weight_map", {}).values()
        for name in set(names):
            if not isinstance(name, str) or Path(name).name != name:
                raise ModelRefused("The weight index points outside the model directory.")


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _JSON_LIMIT and path.name == "config.json":
        raise ModelRefused(f"{path.name} is larger than {_JSON_LIMIT} bytes.")
    try:
        value = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"{path.name} is not valid JSON.") from error
    if not isinstance(value, dict):
        raise ModelRefused(f"{path.name} must hold a JSON object.")
    return value


def _load_config(directory: Path) -> Any:
    path = directory / "config.json"
    if not path.exists():
        raise ModelRefused("There is no config.json in the model directory.")
    raw = _read_json(path)
    for name in _FORBIDDEN_CONFIG:
        if raw.get(name):
            raise ModelRefused(f"config.json sets {name}, which is not served here.")
    try:
        config = AutoConfig.from_pretrained(
            directory, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        raise ModelRefused(f"config.json cannot be used: {_first_line(error)}") from error
    if config.is_encoder_decoder:
        raise ModelRefused("Encoder-decoder models are not served; only causal models are.")
    return config


def _load_weights(directory: Path, config: Any, dtype: torch.dtype, device: str) -> PreTrainedModel:
    try:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            directory,
            config=config,
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            dtype=dtype,
        )
    except Exception as error:
        raise ModelRefused(f"The weights cannot be loaded: {_first_line(error)}") from error
    model: PreTrainedModel = loaded[0]
    report: dict[str, Any] = loaded[1]
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(str(key) for key in report.get(kind) or ())
        if keys:
            raise ModelRefused(
                f"The weights do not match the configuration: {len(keys)} "
                f"{kind.replace('_', ' ')}, first {keys[0]}."
            )
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelRefused(f"The weight {name} holds numbers that are not finite.")
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    placed: PreTrainedModel = model.to(device)  # type: ignore[arg-type]
    return placed


def _load_merged(directory: Path, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """Merged in fp32, whatever the server computes in: the sum is rounded once."""
    try:
        model: PreTrainedModel = load_version(directory)
    except (UnusableModel, InvalidWork) as error:
        raise ModelRefused(str(error)) from error
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelRefused(f"The weight {name} holds numbers that are not finite.")
    model.eval()  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    placed: PreTrainedModel = model.to(device, dtype)  # type: ignore[arg-type]
    return placed


def _load_int8(directory: Path, dtype: str, device: str) -> PreTrainedModel:
    if dtype != "fp32":
        raise ModelRefused("8-bit weights are served with the number format fp32; choose that.")
    try:
        model = load_int8(directory)
    except UnusableModel as error:
        raise ModelRefused(str(error)) from error
    placed: PreTrainedModel = model.to(device)  # type: ignore[arg-type]
    return placed


def _count(model: PreTrainedModel) -> int:
    """Parameters; 8-bit weights are buffers, and tied ones count once."""
    whole = {id(value): value.numel() for value in model.parameters()}
    small = {id(value): value.numel() for value in model.buffers() if value.dtype == torch.int8}
    return sum((whole | small).values())


def vocabulary_width(model: PreTrainedModel) -> int:
    """How many token ids the model has rows for."""
    embeddings: Any = model.get_input_embeddings()
    return int(embeddings.weight.shape[0])


def _load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, trust_remote_code=False, local_files_only=True
        )
    except Exception as error:
        raise ModelRefused(f"The tokenizer cannot be loaded: {_first_line(error)}") from error
    return tokenizer


def _context_length(config: Any, max_context: int | None) -> int:
    text = config.get_text_config()
    declared = next(
        (
            value
            for name in _CONTEXT_FIELDS
            if isinstance(value := getattr(text, name, None), int) and value > 0
        ),
        max_context or _DEFAULT_CONTEXT,
    )
    length = min(declared, max_context or declared)
    if length < 2:
        raise ModelRefused(f"A context of {length} tokens leaves no room for an answer.")
    return length


def _eos_ids(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, width: int
) -> frozenset[int]:
    """Every token that ends an answer: generation config, model config, tokenizer."""
    found: set[Any] = set()
    for source in (model.generation_config, model.config.get_text_config(), tokenizer):
        value = getattr(source, "eos_token_id", None)
        found.update(value if isinstance(value, (list, tuple)) else [value])
    return frozenset(token for token in found if isinstance(token, int) and 0 <= token < width)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__

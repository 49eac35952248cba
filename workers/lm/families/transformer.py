"""Transformer language models: from settings to a configuration, a new model or a loaded one."""

import json
import re
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import torch
from torch.distributed.tensor import DTensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

from workers.lm.errors import InvalidTraining, UnusableModel
from workers.lm.families.architectures import CEILINGS, MODEL_TYPES
from workers.lm.families.presets import PRESETS
from workers.lm.formats.int8 import is_int8
from workers.lm.int8 import load_int8
from workers.lm.tokenizers.saved import end_token
from workers.lm.training.spec import TrainSpec

transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]

# Its own annotations leave out what it returns with loading information.
_auto_model: Any = AutoModelForCausalLM

# These would fetch or run code, or stand for weights that are not plain numbers.
_REFUSED = re.compile(r"_.*|auto_map|quantization_config|attn_implementation|torch_dtype|dtype")

_DROPOUTS = ("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout", "hidden_dropout",
             "resid_dropout", "residual_dropout", "embedding_dropout")  # fmt: skip

_CONTEXTS = ("n_positions", "max_position_embeddings")


def architecture_of(spec: TrainSpec) -> dict[str, Any]:
    """The shape a training starts from, checked against the allowed names and sizes."""
    if spec.preset is not None:
        if spec.preset not in PRESETS:
            raise InvalidTraining("preset", f"Choose one of {', '.join(PRESETS)}.")
        return {**PRESETS[spec.preset].config(), **_context_for(PRESETS[spec.preset], spec)}
    architecture = deepcopy(spec.architecture or {})
    check_architecture(architecture)
    name = _context_name(architecture)
    architecture.setdefault(name, spec.sequence_length)
    if int(architecture[name]) < spec.sequence_length:
        raise InvalidTraining(
            "sequence_length",
            f"The architecture's context ({name}) is only {architecture[name]} tokens.",
        )
    return architecture


def _context_for(preset: Any, spec: TrainSpec) -> dict[str, int]:
    # A model serves only positions that it was trained on, so its context is the length trained.
    return {_context_name(preset.architecture): spec.sequence_length}


def _context_name(architecture: Mapping[str, Any]) -> str:
    return _CONTEXTS[0] if architecture.get("model_type") == "gpt2" else _CONTEXTS[1]


def check_architecture(architecture: Mapping[str, Any]) -> None:
    """Refuse unknown families, dangerous names and sizes beyond reason."""
    if architecture.get("model_type") not in MODEL_TYPES:
        raise InvalidTraining(
            "architecture", f"model_type must be one of {', '.join(MODEL_TYPES)}."
        )
    for name, value in architecture.items():
        if _REFUSED.fullmatch(name):
            raise InvalidTraining("architecture", f"The entry {name} is not allowed.")
        ceiling = CEILINGS.get(name)
        if ceiling is None or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= ceiling:
            raise InvalidTraining(
                "architecture", f"{name} must be a whole number from 1 to {ceiling:,}."
            )
    hidden = architecture.get("hidden_size") or architecture.get("n_embd")
    heads = architecture.get("num_attention_heads") or architecture.get("n_head")
    if hidden and heads and hidden % heads:
        raise InvalidTraining(
            "architecture", f"The width {hidden} cannot be shared by {heads} heads."
        )


def build_config(
    spec: TrainSpec, architecture: Mapping[str, Any], tokenizer: PreTrainedTokenizerFast
) -> PretrainedConfig:
    """The configuration of a new model that speaks this tokenizer."""
    values = dict(architecture)
    model_type = values.pop("model_type")
    end = end_token(tokenizer)
    values.update(vocab_size=len(tokenizer), bos_token_id=end, eos_token_id=end, pad_token_id=None)
    try:
        config = AutoConfig.for_model(model_type, **values)
    except (TypeError, ValueError, KeyError) as error:
        raise InvalidTraining(
            "architecture", f"Not a {model_type} configuration: {error}"
        ) from error
    set_dropout(config, spec.dropout)
    return config


def set_dropout(config: PretrainedConfig, dropout: float) -> None:
    """Write one dropout into every place that the family has for it."""
    for name in _DROPOUTS:
        if hasattr(config, name):
            setattr(config, name, dropout)


def new_model(config: PretrainedConfig, seed: int) -> PreTrainedModel:
    """A model whose initial weights follow from the configuration and the seed alone."""
    torch.manual_seed(seed)
    try:
        model = _auto_model.from_config(config, trust_remote_code=False)
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        raise InvalidTraining(
            "architecture", f"No model can be built from this: {error}"
        ) from error
    return cast(PreTrainedModel, model.float())


def context_of(config: PretrainedConfig) -> int | None:
    """The longest sequence of a model; None where it has no limit."""
    for name in _CONTEXTS:
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    return None


def load_model(folder: Path, dropout: float | None = None) -> PreTrainedModel:
    """Read a model in fp32 from plain local files, refusing anything incomplete or not finite.

    One with 8-bit weights computes with them as they are; it cannot be trained.
    """
    if is_int8(folder) and dropout is None:
        return load_int8(folder)
    _check_files(folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if dropout is not None:
        set_dropout(config, dropout)
    model, info = _auto_model.from_pretrained(
        folder,
        config=config,
        dtype=torch.float32,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        output_loading_info=True,
    )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind):
            names = ", ".join(sorted(str(key) for key in info[kind])[:3])
            raise UnusableModel(f"The weights do not fit the configuration ({kind}: {names}).")
    check_finite(model)
    return cast(PreTrainedModel, model)


def move(model: PreTrainedModel, device: torch.device) -> None:
    """Put a model on a device, in place."""
    torch.nn.Module.to(model, device)


def check_finite(model: PreTrainedModel) -> None:
    """Refuse weights that hold NaN or infinity."""
    for name, weight in model.named_parameters():
        here = weight.to_local() if isinstance(weight, DTensor) else weight
        if not bool(torch.isfinite(here).all()):
            raise UnusableModel(f"The weights of {name} are not all finite numbers.")


def _check_files(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_symlink():
            raise UnusableModel(f"{path.name} is a link; a model folder holds plain files only.")
    config = folder / "config.json"
    if not config.is_file():
        raise UnusableModel(f"{folder.name} has no config.json.")
    values = json.loads(config.read_text())
    if "auto_map" in values or "quantization_config" in values:
        raise UnusableModel("config.json asks for code of its own or for quantised weights.")
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        for name in set(json.loads(index.read_text()).get("weight_map", {}).values()):
            if Path(name).name != name or not (folder / name).is_file():
                raise UnusableModel(f"The index names {name}, which is not a file beside it.")
    elif not (folder / "model.safetensors").is_file():
        raise UnusableModel(f"{folder.name} has no model.safetensors.")

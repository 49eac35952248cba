"""Adapters (LoRA): two small trained matrices beside each chosen layer of a base that stays.

y = W x + (alpha / rank) · B A x, with A (rank, in) drawn at random and B (out, rank) zero at first
(Hu et al. 2021, arXiv:2106.09685). The files are those of the library `peft`.
"""

import json
import logging
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from workers.lm.errors import InvalidTraining, UnusableModel
from workers.lm.families.transformer import load_model
from workers.lm.formats.merged import CONFIG, WEIGHTS
from workers.lm.training.choices import ALL_LINEAR, target_names
from workers.lm.training.spec import TrainSpec

#: Model and revision of the base, as one would ask this console for it.
BaseName = Mapping[str, str]
_KINDS = (nn.Linear, Conv1D)
#: What scales an adapter otherwise than its rank and alpha say.
_UNLIKE = ("use_rslora", "rank_pattern", "alpha_pattern")


def with_adapter(
    base: PreTrainedModel, spec: TrainSpec, name: BaseName, checkpoint: Path | None = None
) -> PreTrainedModel:
    """The base, frozen, with a new adapter, or with that of a checkpoint or another version.

    What is random in a new one follows from the seed. Raises InvalidTraining for modules that the
    base does not have, UnusableModel for files of another adapter.
    """
    logging.getLogger("peft").setLevel(logging.ERROR)
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=spec.lora_rank,
        lora_alpha=spec.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=spec.lora_dropout,
        target_modules=_targets(base, spec),
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(spec.seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which way round the weights of GPT-2 lie
        model: Any = get_peft_model(base, config)
    # Set afterwards, for the library writes the folder of the base there.
    config.base_model_name_or_path = name.get("model", "")
    config.revision = name.get("revision") or None
    if checkpoint is not None:
        _restore(model, checkpoint)
    whole: PreTrainedModel = model
    return whole


def _restore(model: Any, checkpoint: Path) -> None:
    from peft import set_peft_model_state_dict

    said = f"{checkpoint.name} holds another adapter than the settings say."
    given = json.loads((checkpoint / CONFIG).read_text()) if (checkpoint / CONFIG).exists() else {}
    if odd := next((name for name in _UNLIKE if given.get(name)), None):
        raise UnusableModel(f"The adapter sets {odd}, with which it is not trained here: merge it.")
    try:
        found: Any = set_peft_model_state_dict(model, load_file(checkpoint / WEIGHTS))
    except (OSError, RuntimeError) as error:  # no such file, or matrices of another rank
        raise UnusableModel(said) from error
    if found.unexpected_keys or any("lora_" in key for key in found.missing_keys):
        raise UnusableModel(said)


def is_adapted(model: nn.Module) -> bool:
    """Whether only an adapter of this model is trained."""
    return hasattr(model, "peft_config")


def weights_writer(model: PreTrainedModel, *, copied: bool = False) -> Callable[[Path], None]:
    """What writes the weights into a folder: the whole model, or the adapter with its settings.

    With `copied` it writes those of now, on the processor, whatever becomes of the model's.
    """
    if is_adapted(model):
        return _adapter_writer(model)
    if not copied:
        return lambda folder: model.save_pretrained(folder)
    weights = _copies(model.state_dict())
    return lambda folder: model.save_pretrained(folder, state_dict=weights)


def _adapter_writer(model: Any) -> Callable[[Path], None]:
    from peft import get_peft_model_state_dict

    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = _copies(weights)
    config = model.peft_config["default"]
    values = {**config.to_dict(), "inference_mode": True}
    plain = {name: _plain(value) for name, value in values.items()}

    def write(folder: Path) -> None:
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        (folder / CONFIG).write_text(json.dumps(plain, indent=2, sort_keys=True))

    return write


def _copies(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies on the processor; of tensors that are one, such as tied weights, one copy."""
    made: dict[tuple[int, torch.Size], torch.Tensor] = {}
    found = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.shape)
        if key not in made:
            made[key] = tensor.detach().to("cpu", copy=True).contiguous()
        found[name] = made[key]
    return found


def restore_weights(model: PreTrainedModel, folder: Path) -> None:
    """Put the weights back that `weights_writer` wrote; UnusableModel if they are of another."""
    if is_adapted(model):
        _restore(model, folder)
    else:
        model.load_state_dict(load_model(folder).state_dict())


def write_card(model: PreTrainedModel, folder: Path) -> None:
    """A README that names the base, as tools of the Hub read it."""
    tuned: Any = model
    config = tuned.peft_config["default"]
    base = config.base_model_name_or_path
    lines = [
        "---", "library_name: peft", *([f"base_model: {base}"] if base else []),
        "pipeline_tag: text-generation", "tags:", "- lora", "- transformers", "---", "",
        f"# Adapter of {base or 'a base version'}", "",
        f"LoRA of rank {config.r}, alpha {config.lora_alpha:g}. It changes "
        f"{', '.join(sorted(config.target_modules))} and needs its base"
        f"{f', revision {config.revision}' if config.revision else ''}.", "",
    ]  # fmt: skip
    (folder / "README.md").write_text("\n".join(lines))


def adapter_facts(folder: Path) -> dict[str, Any]:
    """What a finished adapter is, as its files tell it; the names are those of an imported one."""
    config = json.loads((folder / CONFIG).read_text())
    tensors = load_file(folder / WEIGHTS)
    return {
        "family": "adapter",
        "peft_type": "LORA",
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "rank": config["r"],
        "ranks": [config["r"]],
        "alpha": config["lora_alpha"],
        "target_modules": sorted(config["target_modules"]),
        "modules": len(tensors) // 2,
    }


def trainable(model: nn.Module) -> int:
    """Numbers that a training changes."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad)


def _targets(base: PreTrainedModel, spec: TrainSpec) -> list[str]:
    """Last parts of the names of modules that the adapter is for."""
    head = base.get_output_embeddings()  # type: ignore[no-untyped-call]
    known = sorted(
        {
            name.rpartition(".")[2]
            for name, module in base.named_modules()
            if isinstance(module, _KINDS) and module is not head
        }
    )
    if spec.lora_targets == ALL_LINEAR:
        return known
    names = target_names(spec.lora_targets)
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InvalidTraining(
            "lora_targets", f"The base has no layer {unknown[0]}. It has {', '.join(known)}."
        )
    return names


def _plain(value: Any) -> Any:
    """JSON with an order that does not change from run to run."""
    if isinstance(value, set):
        return sorted(value)
    return getattr(value, "value", value) if not isinstance(value, list) else sorted(value)

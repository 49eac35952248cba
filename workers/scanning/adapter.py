"""A LoRA adapter: its configuration is plain, and each pair of matrices fits a module of its base.

For a base weight of shape (out, in), lora_A is (rank, in) and lora_B (out, rank); in modules of
GPT-2 (Conv1D) the base weight lies transposed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.scanning.report import Report
from workers.scanning.tensors import FLOATS, BadHeader, Tensor, read_header

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
_PART = re.compile(r"(.+)\.lora_(embedding_)?([AB])(?:\.default)?(?:\.weight)?")
#: Kinds of LoRA that add more than two matrices to a module.
OTHER = (
    "use_dora",
    "use_qalora",
    "alora_invocation_tokens",
    "arrow_config",
    "trainable_token_indices",
)


@dataclass(frozen=True)
class Base:
    """The base version as its headers tell it."""

    name: str
    model_type: str
    tensors: Mapping[str, Tensor]


def base_of(name: str, folder: Path, model_type: str) -> Base:
    """Read the headers of a stored version's weights."""
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        try:
            tensors |= read_header(path)
        except BadHeader:
            continue
    return Base(name, model_type, tensors)


def check_adapter(
    values: Any, tensors: Mapping[str, Tensor], base: Base | None, report: Report
) -> dict[str, Any]:
    """Facts of an adapter; what keeps it from being used goes into the report."""
    if not _check_config(values, report):
        return {}
    named = str(values.get("base_model_name_or_path") or "")[:200]
    if base is None:
        said = (
            f"It was trained on {named!r}." if named else "It does not say what it was trained on."
        )
        report.add("adapter.base", CONFIG, said)
        return {}
    pairs = _pairs(tensors, report)
    if not pairs:
        report.add("adapter.fit", WEIGHTS, "It holds no lora_A and lora_B.")
    ranks: set[int] = set()
    for module, pair in sorted(pairs.items()):
        rank = _check_pair(module, pair, values, base, report)
        if rank:
            ranks.add(rank)
    if named:
        report.add("model.origin", CONFIG, f"It was trained on {named}.")
    return {
        "family": "adapter",
        "model_type": base.model_type,
        "peft_type": "LORA",
        "parameters": sum(tensor.numbers for tensor in tensors.values()),
        "rank": values.get("r"),
        "ranks": sorted(ranks),
        "alpha": values.get("lora_alpha"),
        "target_modules": sorted({module.rsplit(".", 1)[-1] for module in pairs}),
        "modules": len(pairs),
    }


def _check_config(values: Any, report: Report) -> bool:
    if not isinstance(values, dict):
        report.add("adapter.config", CONFIG, "It is not a JSON object.")
        return False
    kind, rank = values.get("peft_type"), values.get("r")
    if kind != "LORA":
        said = f"peft_type is {str(kind)[:40]!r}; only LORA is supported."
        report.add("adapter.config", CONFIG, said)
        return False
    if not (type(rank) is int and 1 <= rank <= 4096):
        said = f"The rank r is {str(rank)[:40]}; it must be a whole number from 1 to 4,096."
        report.add("adapter.config", CONFIG, said)
        return False
    alpha = values.get("lora_alpha")
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha < 1e6:
        report.add(
            "adapter.config", CONFIG, f"lora_alpha is {str(alpha)[:40]}; use a number above 0."
        )
        return False
    other = [name for name in OTHER if values.get(name)]
    other += ["modules_to_save"] if values.get("modules_to_save") else []
    other += ["bias"] if values.get("bias", "none") != "none" else []
    if other:
        said = f"{other[0]} is set; only plain LoRA (two matrices a module) is supported."
        report.add("adapter.config", CONFIG, said)
    return not other


def _pairs(tensors: Mapping[str, Tensor], report: Report) -> dict[str, dict[str, Tensor]]:
    pairs: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        found = _PART.fullmatch(name.removeprefix(PREFIX))
        if not found or found[2]:
            report.add(
                "adapter.fit", WEIGHTS, f"{name[:120]} is neither lora_A nor lora_B of a layer."
            )
        elif tensor.dtype not in FLOATS or len(tensor.shape) != 2:
            report.add("adapter.fit", WEIGHTS, f"{name[:120]} is no matrix of floating numbers.")
        else:
            pairs.setdefault(found[1], {})[found[3]] = tensor
    return pairs


def _check_pair(
    module: str, pair: Mapping[str, Tensor], values: Mapping[str, Any], base: Base, report: Report
) -> int | None:
    if pair.keys() != {"A", "B"}:
        report.add("adapter.fit", WEIGHTS, f"{module} has only one of lora_A and lora_B.")
        return None
    first, second = pair["A"].shape, pair["B"].shape
    rank = first[0]
    if second[1] != rank:
        said = f"{module}: lora_A has the rank {rank}, lora_B {second[1]}."
        report.add("adapter.fit", WEIGHTS, said)
        return None
    wanted = _rank(module, values)
    if rank != wanted:
        report.add(
            "adapter.fit",
            WEIGHTS,
            f"{module} has the rank {rank}; its configuration says {wanted}.",
        )
    weight = _base_weight(module, base)
    if weight is None:
        report.add("adapter.fit", WEIGHTS, f"{base.name} has no module {module}.")
        return rank
    shape = weight.shape if base.model_type != "gpt2" else weight.shape[::-1]
    if (second[0], first[1]) != tuple(shape):
        said = f"{module}: the adapter is for {second[0]} × {first[1]}, {base.name} has"
        report.add("adapter.fit", WEIGHTS, f"{said} {' × '.join(map(str, shape))}.")
    return rank


def _rank(module: str, values: Mapping[str, Any]) -> Any:
    pattern = values.get("rank_pattern")
    for key, rank in (pattern or {}).items() if isinstance(pattern, dict) else ():
        if module == key or module.endswith(f".{key}"):
            return rank
    return values["r"]


def _base_weight(module: str, base: Base) -> Tensor | None:
    name = f"{module}.weight"
    for candidate in (name, name.partition(".")[2], f"model.{name}", f"transformer.{name}"):
        if candidate in base.tensors:
            return base.tensors[candidate]
    return None

"""A whole model: index, configuration, weights and tokenizer belong together."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.lm.compute.memory import read_shape
from workers.lm.families.architectures import CEILINGS, MODEL_TYPES
from workers.scanning.report import Report
from workers.scanning.tensors import FLOATS, Tensor

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "embed_in.weight")
GENERATION = ("bos_token_id", "eos_token_id", "pad_token_id")
Weights = Mapping[str, Mapping[str, Tensor]]


def check_config(values: Any, report: Report) -> bool:
    """Whether `config.json` describes a model that could be built at all."""
    if not isinstance(values, dict):
        report.add("model.config", "config.json", "It is not a JSON object.")
        return False
    kind = values.get("model_type")
    if kind not in MODEL_TYPES:
        known = ", ".join(MODEL_TYPES)
        report.add(
            "model.type", "config.json", f"model_type is {str(kind)[:60]!r}; known: {known}."
        )
        return False
    for name, ceiling in CEILINGS.items():
        value = values.get(name)
        if value is not None and not (type(value) is int and 1 <= value <= ceiling):
            said = f"{name} is {str(value)[:40]}; it must be a whole number from 1 to {ceiling:,}."
            report.add("model.config", "config.json", said)
            return False
    shape = read_shape(values)
    if shape.heads and shape.hidden % shape.heads and not values.get("head_dim"):
        said = f"The width {shape.hidden} cannot be shared by {shape.heads} heads."
        report.add("model.config", "config.json", said)
        return False
    origin = values.get("_name_or_path")
    if isinstance(origin, str) and origin:
        report.add("model.origin", "config.json", origin[:200])
    return True


def check_index(values: Any, weights: Weights, report: Report) -> bool:
    """The index and the files name the same tensors; without an index there is one file."""
    for name in sorted(name for name in weights if "/" in name)[:20]:
        report.add("weights.index", name, "It lies in a folder of its own, where nothing uses it.")
    files = {name for name in weights if "/" not in name}
    if values is None:
        extra = sorted(files - {SINGLE})
        if extra:
            report.add("weights.index", extra[0], "No index names this file.")
        return not extra and SINGLE in files
    table = values.get("weight_map") if isinstance(values, dict) else None
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table.values()):
        report.add("weights.index", INDEX, "weight_map must map tensors to files.")
        return False
    named = set(table.values())
    for name in sorted(named - files)[:20]:
        outside = "/" in name or "\\" in name or name.startswith(".")
        why = "leads elsewhere" if outside else "is missing"
        report.add("weights.index", INDEX, f"It names {name[:120]!r}, which {why}.")
    for name in sorted(files - named)[:20]:
        report.add("weights.index", name, "The index does not name this file.")
    if named != files:
        return False
    here = {tensor: name for name in files for tensor in weights[name]}
    wrong = sorted(tensor for tensor in here.keys() | table.keys()
                   if here.get(tensor) != table.get(tensor))  # fmt: skip
    if wrong:
        said = f"The tensor {wrong[0][:120]} is not in the file that the index names"
        report.add("weights.index", INDEX, f"{said} ({len(wrong):,} such tensors).")
    return not wrong


def check_generation(config: Mapping[str, Any], values: Any, report: Report) -> None:
    """Where generation_config.json says something else than the model's own configuration."""
    if not isinstance(values, dict):
        return
    for name in GENERATION:
        own, other = config.get(name), values.get(name)
        if own is not None and other is not None and own != other:
            said = f"{name} is {str(other)[:60]} here and {str(own)[:60]} in config.json."
            report.add("model.generation", "generation_config.json", said)


def check_fit(folder: Path, tensors: Mapping[str, Tensor], report: Report) -> Any:
    """Weights by weights against what transformers expects; the skeleton, or None."""
    from workers.lm.errors import UnusableModel
    from workers.lm.families.skeleton import skeleton_of

    try:
        skeleton = skeleton_of(folder)
    except UnusableModel as error:
        report.add("model.config", "config.json", f"transformers cannot build it: {error}")
        return None
    have: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        own = skeleton.own_name(name)
        if own is None:
            report.add("weights.fit", "", f"{name[:120]} is no weight of this architecture.")
        elif own:
            have[own] = tensor
    missing = sorted(
        name for name in skeleton.shapes
        if name not in have and skeleton.tied.get(name) not in have
        and not any(source == name and tied in have for tied, source in skeleton.tied.items())
    )  # fmt: skip
    if missing:
        report.add("weights.fit", "", f"{missing[0]} is missing ({len(missing):,} are).")
    for name, tensor in have.items():
        if tensor.shape != skeleton.shapes[name]:
            said = f"{name} has the shape {list(tensor.shape)}, the configuration says"
            report.add("weights.fit", "", f"{said} {list(skeleton.shapes[name])}.")
        elif tensor.dtype not in FLOATS:
            said = f"{name} is of type {tensor.dtype}; weights are {', '.join(FLOATS)}."
            report.add("weights.type", "", said)
    _check_tied(folder, have, skeleton, report)
    return skeleton


def _check_tied(folder: Path, have: Mapping[str, Tensor], skeleton: Any, report: Report) -> None:
    for name, source in skeleton.tied.items():
        if (
            name in have
            and source in have
            and _digest(folder, have[name]) != _digest(folder, have[source])
        ):
            said = f"{name} and {source} are tied and differ: the second is used for both."
            report.add("weights.tied", "", said)


def _digest(folder: Path, tensor: Tensor) -> bytes:
    digest = hashlib.sha256()
    with (folder / tensor.file).open("rb") as file:
        file.seek(tensor.begin)
        left = tensor.end - tensor.begin
        while left and (data := file.read(min(1 << 20, left))):
            digest.update(data)
            left -= len(data)
    return digest.digest()


def check_tokenizer(
    folder: Path, tensors: Mapping[str, Tensor], report: Report, *, needed: bool = True
) -> int | None:
    """`tokenizer.json` loads and its ids have rows in the embedding; how many ids there are."""
    from workers.lm.errors import UnusableModel
    from workers.lm.families.skeleton import tokenizer_size

    path = folder / "tokenizer.json"
    if not path.is_file():
        if needed:
            report.add("model.tokenizer", "", "There is no tokenizer.json.")
        return None
    try:
        size = tokenizer_size(path)
    except UnusableModel as error:
        report.add("model.tokenizer", "tokenizer.json", f"It cannot be read: {error}")
        return None
    rows = next((t.shape[0] for name, t in tensors.items()
                 if name.endswith(EMBEDDINGS) and t.shape), None)  # fmt: skip
    if rows is not None and size > rows:
        said = f"The tokenizer has {size:,} ids, the embedding only {rows:,} rows."
        report.add("model.vocabulary", "tokenizer.json", said)
    return size


def model_facts(
    folder: Path, values: Mapping[str, Any], tokenizer: Any, skeleton: Any, templated: bool
) -> dict[str, Any]:
    """The shape of a version in the words that trained versions use."""
    known = {**skeleton.architecture, **values}
    shape = read_shape(known)
    return {
        "family": "transformer",
        "model_type": values["model_type"],
        "parameters": skeleton.parameters,
        "layers": shape.layers,
        "width": shape.hidden,
        "heads": shape.heads,
        "context": shape.context or None,
        "vocab_size": shape.vocabulary,
        "tokenizer": tokenizer_kind(tokenizer),
        "chat": templated or (folder / "chat_template.jinja").exists(),
        "architecture": {k: v for k, v in known.items() if not k.startswith("_")}
        if not values.get("vocab_size") else dict(values),
    }  # fmt: skip


def tokenizer_kind(values: Any) -> str:
    """bpe, char, unigram, wordpiece or wordlevel."""
    model = values.get("model") if isinstance(values, dict) else None
    if not isinstance(model, dict):
        return ""
    kind = str(model.get("type") or "").lower()
    if kind == "bpe" and not model.get("merges"):
        return "char"
    return kind

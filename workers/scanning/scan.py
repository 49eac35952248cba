"""Scans a folder that lies on this machine: every file by itself, then all of them together."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers.scanning import adapter, markov, model
from workers.scanning.content import refuse
from workers.scanning.names import is_program, sort_of
from workers.scanning.report import Report
from workers.scanning.tensors import Tensor, check_weights
from workers.scanning.texts import check_json, check_pieces, check_template, check_text

Progress = Callable[[int, int], None]


@dataclass
class Found:
    """What the files of a folder hold, as far as they can be used.

    `counted`: it is an n-gram or hidden Markov model, whose numbers have rules of their own.
    """

    counted: bool = False
    weights: dict[str, dict[str, Tensor]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    templated: bool = False

    def tensors(self) -> dict[str, Tensor]:
        return {key: t for file in self.weights.values() for key, t in file.items()}


def scan_folder(
    folder: Path,
    report: Report,
    *,
    base: adapter.Base | None = None,
    progress: Progress = lambda done, total: None,
) -> dict[str, Any]:
    """Look at every file under `folder`; facts of the model, empty if it cannot be used.

    The names have passed the gate before (`names.Gate`).
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    total = sum(path.stat().st_size for path in files)
    found, done = Found(counted=(folder / markov.MARK).is_file()), 0
    for path in files:
        _scan_file(path, path.relative_to(folder).as_posix(), report, found)
        done += path.stat().st_size
        progress(done, total)
    types = {t.dtype for t in found.tensors().values()}
    if len(types) > 1 and not found.counted:
        report.add("weights.mixed", "", f"They are {', '.join(sorted(types))}.")
    return _scan_whole(folder, report, found, base)


def _scan_file(path: Path, name: str, report: Report, found: Found) -> None:
    sort = sort_of(name)
    if sort is None or sort == "arpa":
        refuse(report, name, path, listed="program" if is_program(name) else "")
        return
    report.kinds[name] = sort
    if sort == "weights":
        found.weights[name] = check_weights(path, name, report, finite=not found.counted)
    elif sort == "json":
        found.values[name] = check_json(path, name, report)
        if name.endswith("tokenizer_config.json"):
            found.templated |= _check_templates(found.values[name], name, report)
    elif sort == "pieces":
        check_pieces(path, name, report)
    else:
        text = check_text(path, name, report)
        if text is not None and sort == "template":
            check_template(text, name, report)


def _check_templates(values: Any, name: str, report: Report) -> bool:
    """Chat templates inside tokenizer_config.json: one text, or a list of named ones."""
    template = values.get("chat_template") if isinstance(values, dict) else None
    texts: list[Any] = [template] if isinstance(template, str) else []
    if isinstance(template, list):
        texts = [t.get("template") for t in template[:50] if isinstance(t, dict)]
    for text in texts:
        if isinstance(text, str):
            check_template(text, name, report)
    return bool(texts)


def _scan_whole(
    folder: Path, report: Report, found: Found, base: adapter.Base | None
) -> dict[str, Any]:
    if found.counted:
        return markov.check_markov(folder, report)
    names = found.values.keys() | found.weights.keys()
    is_adapter = {adapter.CONFIG, adapter.WEIGHTS} <= names
    is_model = "config.json" in names and any(
        "/" not in name and name != adapter.WEIGHTS for name in found.weights
    )
    if is_adapter and is_model:
        report.add("adapter.mixed", "", f"{adapter.CONFIG} lies beside the weights of a model.")
        return {}
    if is_adapter:
        tensors = found.weights[adapter.WEIGHTS]
        if not tensors or found.values[adapter.CONFIG] is None:
            return {}
        return adapter.check_adapter(found.values[adapter.CONFIG], tensors, base, report)
    if not is_model:
        if not report.blocked:
            missing = "weights (.safetensors)" if "config.json" in names else "config.json"
            report.add("files.none", "", f"There are no {missing} at its top.")
        return {}
    return _scan_model(folder, report, found)


def _scan_model(folder: Path, report: Report, found: Found) -> dict[str, Any]:
    values = found.values["config.json"]
    usable = check_all(
        values is not None and model.check_config(values, report),
        model.check_index(found.values.get(model.INDEX), found.weights, report),
        all(found.weights.values()),
    )
    tensors = found.tensors()
    size = model.check_tokenizer(folder, tensors, report)
    if not usable:
        return {}
    model.check_generation(values, found.values.get("generation_config.json"), report)
    skeleton = model.check_fit(folder, tensors, report)
    if skeleton is None or size is None:
        return {}
    tokenizer = found.values.get("tokenizer.json")
    return model.model_facts(folder, values, tokenizer, skeleton, found.templated)


def check_all(*answers: bool) -> bool:
    """All of them were asked, so that everything wrong is told at once."""
    return all(answers)

"""Translating a model by torch.compile, where that pays.

Only the forward passes of steps, and with them the backward passes, are compiled; validation is
not, whose last batch has another shape. What the compiler made is kept in the job's own folder, so
that the attempt after a crash does not compile again; it is not shared between jobs, for it is
code. What was measured is shared by all trainings of a node.
"""

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from workers.lm.compute.memory import read_shape
from workers.lm.compute.speed import WORTH, compile_pays
from workers.lm.training.parallel import Alone
from workers.lm.training.report import Report
from workers.lm.training.spec import TrainSpec

BACKEND = "inductor"
#: What compiling brings at best: it is not even tried for a training so short that this would not
#: pay. Seconds are those of so many layers.
HOPE = {"gain": 2.0, "seconds": 8.0, "layers": 1}
TRIES = 3


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One forward and backward pass as the training makes them, with a model or its translation."""

    run: Callable[[torch.nn.Module], None]
    #: Passes of this kind that are still to come.
    left: int
    #: What the result of a measurement depends on, besides the model.
    circumstances: tuple[Any, ...]


def compiled_or_not(
    spec: TrainSpec,
    model: PreTrainedModel,
    trial: Trial,
    folders: tuple[Path, Path],
    report: Report,
    parallel: Alone,
    recorded: bool | None,
) -> torch.nn.Module | None:
    """The translated model, or None if the model is to be trained as it is; the same everywhere.

    `recorded` is what the training did so far. `folders` are the job's and the node's.
    A compiler that fails is a warning, not the end of the training.
    """
    wanted = recorded
    if wanted is None:
        wanted = spec.compile == "on"
    if recorded is None and spec.compile == "auto":
        answer = _pays(model, trial, folders, report) if parallel.is_main else None
        parallel.after_main()
        wanted = parallel.of_main(answer)
    if not wanted:
        return None
    made, why = None, ""
    if parallel.is_main:
        made, why = _compiled(model, trial, folders[0])
    parallel.after_main()
    if not parallel.is_main:  # finds what the main process has compiled
        made, why = _compiled(model, trial, folders[0])
    if not parallel.any(made is None):
        report.log("The model is compiled.")
        return made
    report.log(f"The model is trained without compiling it: {why or 'it failed elsewhere'}",
               "warning")  # fmt: skip
    if recorded:
        report.log("Rounding differs from here on from a training that was never interrupted.",
                   "warning")  # fmt: skip
    return None


def _compiled(
    model: PreTrainedModel, trial: Trial, folder: Path
) -> tuple[torch.nn.Module | None, str]:
    """Translate and try once; the reason if that fails."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder / "compiled")
    try:
        from torch._inductor import config

        config.compile_threads = torch.get_num_threads()
        # Not for several shapes: which code runs must not depend on the shapes seen before.
        made = cast(torch.nn.Module, torch.compile(model, backend=BACKEND, dynamic=False))
        trial.run(made)
    except Exception as error:  # no compiler here, or one that cannot
        with contextlib.suppress(Exception):
            torch._dynamo.reset()
        return None, f"{type(error).__name__}: {error}".splitlines()[0][:300]
    return made, ""


def _pays(model: PreTrainedModel, trial: Trial, folders: tuple[Path, Path], report: Report) -> bool:
    """By what is known of such trainings on this node, or else by trying."""
    layers = read_shape(model.config.to_dict()).layers
    on_gpu = model.device.type != "cpu"
    eager = _seconds(trial, model)

    def pays(found: Mapping[str, Any]) -> bool:
        table = {"compile": {"gpu" if on_gpu else "cpu": found}}
        return compile_pays(table, layers, eager, trial.left, on_gpu)

    book = folders[1] / "compiling.json"
    key = _key(model, trial)
    known, tried = _read(book).get(key), False
    if known is None and pays(HOPE):
        tried = True
        begun = time.perf_counter()
        made, why = _compiled(model, trial, folders[0])
        seconds = time.perf_counter() - begun
        gain = eager / _seconds(trial, made) if made is not None else 0.0
        known = {"gain": gain, "seconds": seconds, "layers": layers, "error": why}
        _write(book, key, known)
    if known is None:
        report.log("Compiling the model would take longer than it could save.", "debug")
        return False
    report.log(
        f"Compiled, a pass is {known['gain']:.2f} times as fast; compiling took "
        f"{known['seconds']:.0f} s on this node."
    )
    return known["gain"] >= WORTH if tried else pays(known)


def _seconds(trial: Trial, model: torch.nn.Module) -> float:
    """Of one pass, the best of a few."""
    found = []
    for _ in range(TRIES):
        begun = time.perf_counter()
        trial.run(model)
        found.append(time.perf_counter() - begun)
    return min(found)


def _key(model: PreTrainedModel, trial: Trial) -> str:
    """Shape, threads, device and version of torch, and how the passes are made."""
    device = model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    same = [
        vars(read_shape(model.config.to_dict())), str(model.config.model_type),
        torch.get_num_threads(), name, torch.__version__, BACKEND, *trial.circumstances,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(same, default=str).encode()).hexdigest()[:32]


def _read(book: Path) -> dict[str, Any]:
    try:
        found = json.loads(book.read_text())
    except (OSError, ValueError):  # none yet, or half a one of a machine that lost its power
        return {}
    return found if isinstance(found, dict) else {}


def _write(book: Path, key: str, found: dict[str, Any]) -> None:
    book.parent.mkdir(parents=True, exist_ok=True)
    aside = book.with_name(f"{book.name}.{uuid.uuid4().hex[:8]}")
    aside.write_text(json.dumps({**_read(book), key: found}))
    aside.replace(book)

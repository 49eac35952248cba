"""What a node's measured speed says of a training; plain Python, no torch.

A measurement is the JSON document of `measuring.py`: `threads` has the rates of the processor by
the number of threads, `gpu` those of its first GPU, `bf16_gain` and `compile` what number formats
and compiling brought to real models, each by device.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.lm.compute.steptime import at_width

#: Changed when a measurement says something else than before; older ones are then taken again.
EDITION = 1
#: Below this nobody would notice.
WORTH = 1.05


def read_speed(path: Path) -> dict[str, Any] | None:
    """The measurement kept in a file; None if there is none, or one of another edition."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("edition") == EDITION else None


def rates_of(speed: Mapping[str, Any], threads: int, on_gpu: bool = False) -> Mapping[str, Any]:
    """The rates of a device; a number of threads that was not measured is put in between.

    More threads are never taken for slower than one: such a figure was spoilt by other work on
    the machine, for which threads that wait for each other wait together.

    Raises KeyError for a GPU that was not measured.
    """
    if on_gpu:
        rates: Mapping[str, Any] = speed["gpu"]
        return rates
    known: dict[int, Mapping[str, Any]] = {
        int(name): rates for name, rates in speed["threads"].items()
    }
    low = max((count for count in known if count <= threads), default=min(known))
    high = min((count for count in known if count >= threads), default=max(known))
    share = math.log(threads / low) / math.log(high / low) if high > low else 0.0
    return _faster(known[min(known)], _between(known[low], known[high], share))


def peak_flops(
    speed: Mapping[str, Any], threads: int, precision: str, on_gpu: bool = False
) -> float | None:
    """FLOP/s of the fastest matrix products that were measured; None: this was not measured."""
    table = "products_bf16_gflops" if precision == "bf16" else "products_gflops"
    try:
        found = rates_of(speed, threads, on_gpu)[table]
    except KeyError:
        return None
    return float(max(found.values())) * 1e9


def _between(one: Any, two: Any, share: float) -> Any:
    if isinstance(one, Mapping):
        return {name: _between(one[name], two[name], share) for name in one if name in two}
    return one * (two / one) ** share


def _faster(one: Mapping[str, Any], many: Mapping[str, Any]) -> dict[str, Any]:
    """Each rate of the two that is better: the higher one, but of a call the shorter."""
    found: dict[str, Any] = {}
    for name in one.keys() & many.keys():
        if isinstance(one[name], Mapping):
            found[name] = _faster(one[name], many[name])
        else:
            found[name] = (min if name.endswith("_us") else max)(one[name], many[name])
    return found


def bf16_gain(speed: Mapping[str, Any], width: int, on_gpu: bool = False) -> float | None:
    """How many times faster a model of this width trains in bf16 than in fp32; None: not known."""
    table = speed.get("bf16_gain", {}).get("gpu" if on_gpu else "cpu")
    return at_width(table, max(width, min(int(name) for name in table))) if table else None


def bf16_pays(speed: Mapping[str, Any], width: int, on_gpu: bool = False) -> bool:
    """Whether training in bf16 is faster there, by measurement."""
    return (bf16_gain(speed, width, on_gpu) or 0.0) >= WORTH


def compile_pays(
    speed: Mapping[str, Any], layers: int, step_s: float, steps: int, on_gpu: bool = False
) -> bool:
    """Whether `torch.compile` saves more in `steps` steps of `step_s` seconds than it takes.

    Compiling takes longer the more layers there are, for each is compiled.
    """
    found = speed.get("compile", {}).get("gpu" if on_gpu else "cpu") or {}
    if not found.get("gain"):
        return False
    saved = step_s * steps * (1 - 1 / found["gain"])
    return bool(saved > WORTH * found["seconds"] * max(1.0, layers / found["layers"]))

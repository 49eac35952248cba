"""An estimate of a training as a page draws it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.figures import count, duration, size
from models_app.registry.estimates import Place, TrainingEstimate
from models_app.registry.estimates.outcome import EnergyBasis, Fit

MEMORY: dict[str, tuple[Any, str]] = {
    "weights": (gettext_lazy("Weights"), "blue"),
    "gradients": (gettext_lazy("Gradients"), "cyan"),
    "optimizer": (gettext_lazy("Optimiser"), "violet"),
    "activations": (gettext_lazy("Activations"), "green"),
    "counting": (gettext_lazy("Counting"), "green"),
    "kv_cache": (gettext_lazy("Keys and values"), "amber"),
    "overhead": (gettext_lazy("Python and libraries"), "neutral"),
}
TIME: dict[str, Any] = {
    "start": gettext_lazy("Start"),
    "data": gettext_lazy("Text into tokens"),
    "steps": gettext_lazy("Steps"),
    "evaluations": gettext_lazy("Looks at the validation loss"),
    "checkpoints": gettext_lazy("Checkpoints"),
    "counting": gettext_lazy("Learning"),
}
FIT_LOOKS = {Fit.NOW: "green", Fit.LATER: "amber", Fit.NEVER: "red"}
#: Prefixes of a thousand each.
SCALES = ("", "k", "M", "G", "T", "P", "E", "Z")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A piece of the stacked bar: where it begins and how wide it is, in percent."""

    label: str
    tone: str
    size: int
    start: float
    width: float


def shown(estimate: TrainingEstimate) -> dict[str, Any]:
    """What the fragment needs."""
    best, seconds = estimate.best, estimate.seconds
    return {
        "plan": estimate.plan,
        "estimate": estimate,
        "parts": memory_parts(estimate.memory),
        "seconds": seconds,
        "time_parts": [(TIME[name], value) for name, value in seconds.parts.items()]
        if seconds
        else [],
        "flops": scaled(estimate.plan.need.step_flops, "FLOP"),
        "token_flops": scaled(estimate.plan.need.token_flops, "FLOP"),
        "whole_flops": _whole(estimate),
        "energy": energy_words(best) if best else "",
        "no_energy": best.no_energy if best else "",
        "rows": [_row(place) for place in estimate.places],
        "learned": learned_words(best) if best else "",
        "serving": serving_words(estimate),
    }


def memory_parts(memory: Mapping[str, int]) -> list[Part]:
    """Pieces of the bar in their order."""
    total, at, found = sum(memory.values()) or 1, 0.0, []
    for name, taken in memory.items():
        if not taken:
            continue
        label, tone = MEMORY[name]
        width = 100 * taken / total
        found.append(Part(label=str(label), tone=tone, size=taken, start=at, width=width))
        at += width
    return found


def scaled(value: float | None, unit: str) -> str:
    """With a prefix: `361.2 GFLOP`; empty for None."""
    if value is None:
        return ""
    place = 0
    while value >= 1000 and place < len(SCALES) - 1:
        value, place = value / 1000, place + 1
    return f"{count(round(value, 1))} {SCALES[place]}{unit}"


def _whole(estimate: TrainingEstimate) -> str:
    each = estimate.plan.need.token_flops
    return scaled(each * estimate.plan.tokens_seen, "FLOP") if each else ""


def energy_words(place: Place) -> str:
    """Watt-hours with what they rest on; empty while the time is not known."""
    energy = place.energy
    if energy is None:
        return ""
    basis = {
        EnergyBasis.MEASURED: _("%(watts)s W, as its processor said when it was measured"),
        EnergyBasis.GPU_LIMIT: _("%(watts)s W with the limit of its GPUs"),
        EnergyBasis.CONFIGURED: _("%(watts)s W, as its operator says of each core"),
        EnergyBasis.ASSUMED: _("%(watts)s W, assumed for each core"),
    }[energy.basis] % {"watts": count(round(energy.watts))}
    amount = f"{count(round(energy.kwh, 2))} kWh" if energy.kwh >= 1 else _watt_hours(energy.kwh)
    return _("%(amount)s at %(basis)s") % {"amount": amount, "basis": basis}


def _watt_hours(kwh: float) -> str:
    return f"{kwh * 1000:.2g} Wh" if kwh < 0.01 else f"{count(round(kwh * 1000))} Wh"


def learned_words(place: Place) -> str:
    """What the figures rest on besides the formula."""
    known = place.time_correction
    if not known.count:
        return _("By formula and the node's measured speed; no like training has run there yet.")
    words = {"n": known.count, "factor": f"{known.factor:.2f}"}
    return _("Corrected by %(factor)s, learned from %(n)s like trainings there.") % words


def serving_words(estimate: TrainingEstimate) -> str:
    """What the finished model takes where it serves; empty for families without a cache."""
    serving, best = estimate.plan.need.serving, estimate.best
    if serving is None:
        return ""
    said = _(
        "%(weights)s of weights, and %(each)s of keys and values for each full context of"
        " %(tokens)s tokens"
    ) % {
        "weights": size(serving.weights), "each": size(serving.context_bytes),
        "tokens": count(serving.context),
    }  # fmt: skip
    if best is None or best.contexts is None:
        return said
    room = _("%(n)s of them fit beside the weights on %(node)s if it is empty; bf16 takes half")
    return f"{said}; {room % {'n': count(best.contexts), 'node': best.node}}"


def _row(place: Place) -> dict[str, Any]:
    labels = {
        Fit.NOW: _("fits"), Fit.LATER: _("fits when there is room"), Fit.NEVER: _("does not fit"),
    }  # fmt: skip
    seconds = place.seconds
    return {
        "place": place,
        "label": labels[place.fit],
        "tone": FIT_LOOKS[place.fit],
        "reason": "; ".join(place.reasons),
        "likely": duration(seconds.likely) if seconds else _("not measured yet"),
        "span": span(seconds.low, seconds.high) if seconds else "",
        "step": duration(seconds.step) if seconds and seconds.step else "",
    }


def span(low: float, high: float) -> str:
    """A range of times: `20 min to 35 min`; one of them where both read the same."""
    one, two = duration(low), duration(high)
    return one if one == two else _("%(low)s to %(high)s") % {"low": one, "high": two}

"""The parity report in words and pictures: checks with their limits, bars and a histogram."""

import math
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from console.pages.figures import count, percent, size
from models_app.registry.models import Conversion

MEASURES: dict[str, tuple[Any, Any]] = {
    "max_logit_error": (
        gettext_lazy("Largest error of a logit"),
        gettext_lazy("At most so far from the source's."),
    ),
    "mean_divergence": (
        gettext_lazy("Mean divergence"),
        gettext_lazy("Kullback-Leibler from the source, nats per token."),
    ),
    "perplexity_increase": (
        gettext_lazy("Increase of perplexity"),
        gettext_lazy("As a share: 0.02 allows 2 %."),
    ),
    "top1_agreement": (
        gettext_lazy("Same most likely token"),
        gettext_lazy("At least this share of positions, 0 to 1."),
    ),
    "greedy_agreement": (
        gettext_lazy("Same greedy answers"),
        gettext_lazy("At least this share of tokens, 0 to 1."),
    ),
}
_SHARES = ("perplexity_increase", "top1_agreement", "greedy_agreement")
#: What is good to know of a precision.
CHOICES = {
    "bf16": gettext_lazy("half the size, keeps the range of fp32"),
    "fp16": gettext_lazy("half the size, finer than bf16"),
    "fp32": gettext_lazy("full precision"),
    "f32": gettext_lazy("full precision"),
    "f16": gettext_lazy("half the size"),
    "q8_0": gettext_lazy("8 bits, the usual choice"),
    "int8": gettext_lazy("8 bits, a scale for each output channel"),
}
#: Labels and purposes of the formats, which come from the workers as plain English.
WORDS = (
    gettext_noop("Safetensors"),
    gettext_noop("Safetensors, 8-bit weights"),
    gettext_noop("ONNX"),
    gettext_noop("GGUF"),
    gettext_noop("OpenVINO"),
    gettext_noop("Merged LoRA adapter"),
    gettext_noop("The same model in half the size, or back in full precision, for any tool."),
    gettext_noop("A quarter of the size; evaluated and served here."),
    gettext_noop("For onnxruntime and what is built on it, on servers, phones and in browsers."),
    gettext_noop("One file for llama.cpp, Ollama and LM Studio: laptops and small servers."),
    gettext_noop("For OpenVINO on Intel processors and graphics."),
    gettext_noop("An adapter and its base as one whole version, which can be trained and served."),
)
#: Width of the pictures and of the part with bars, in units of their view box.
WIDTH, LEFT, BAR, STEP = 460, 118, 250, 34


def rows_of_checks(conversion: Conversion) -> list[dict[str, Any]]:
    """Each limit of the gate and what was measured, in words."""
    found = []
    for check in conversion.report.get("checks", []):
        name, limit = check["measure"], check["limit"]
        gate = conversion.gate.get(name, {})
        label, _help = MEASURES.get(name, (name, ""))
        found.append(
            {
                "label": label,
                "value": _words(name, check["value"]),
                "limit": _words(name, limit) if limit is not None else "–",
                "own": gate.get("limit") != gate.get("default"),
                "default": _words(name, gate.get("default")),
                "asked": limit is not None,
                "passed": check["passed"],
            }
        )
    return found


def pictures(report: dict[str, Any]) -> dict[str, Any]:
    """Bars before and after, and the histogram of errors."""
    speed, load = report["tokens_per_cpu_second"], report["load_seconds"]
    return {
        "size": _pair(
            _("Size of the weights"), report["size"]["source"], report["size"]["output"], size
        ),
        "speed": _pair(
            _("Tokens per CPU-second"), speed["source"], speed["output"], lambda v: count(round(v))
        ),
        "load": _pair(_("Seconds to load"), load["source"], load["output"], lambda v: f"{v:.2f}"),
        "errors": _histogram(report["logits"]),
    }


def _words(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name in _SHARES:
        return percent(100 * value, 2)
    return f"{value:.3g}"


def _pair(title: str, before: float, after: float, words: Any) -> dict[str, Any]:
    """Two bars on one scale."""
    most = max(before, after) or 1
    named = ((_("Source"), before, "before"), (_("Converted"), after, "after"))
    bars = [
        {
            "label": label, "css": css, "value": words(value), "y": place * STEP,
            "text_y": place * STEP + 15, "width": round(max(2, BAR * value / most), 1),
            "value_x": round(LEFT + max(2, BAR * value / most) + 8, 1),
        }
        for place, (label, value, css) in enumerate(named)
    ]  # fmt: skip
    said = ", ".join(f"{bar['label']} {bar['value']}" for bar in bars)
    return {"title": title, "bars": bars, "height": 2 * STEP, "label": f"{title}: {said}"}


def _histogram(logits: dict[str, Any]) -> dict[str, Any]:
    """How many positions have their largest error in which decade."""
    counts, first = logits["decades"], logits["first_decade"]
    most, total = max(counts) or 1, sum(counts) or 1
    step = WIDTH / len(counts)
    bars = []
    for place, amount in enumerate(counts):
        height = 96 * math.sqrt(amount / most)
        bars.append(
            {
                "x": round(place * step + 3, 1), "width": round(step - 6, 1),
                "y": round(110 - height, 1), "height": round(height, 1),
                "middle": round(place * step + step / 2, 1),
                "label": f"10{_raised(first + place)}", "count": amount,
                "share": percent(100 * amount / total, 1),
                "top": round(104 - height, 1),
            }
        )  # fmt: skip
    said = ", ".join(f"< {bar['label']}: {bar['share']}" for bar in bars if bar["count"])
    return {"bars": bars, "label": _("Largest error of each position: %(bars)s") % {"bars": said}}


def _raised(number: int) -> str:
    digits = str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return digits

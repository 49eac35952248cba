"""How fast a node computes, as its page tells it."""

from collections.abc import Iterable
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from console.pages.figures import count, percent
from models_app.pools.models import Node


def speed(node: Node) -> dict[str, Any] | None:
    """When it was measured and rows of name and figure; None while nothing is known."""
    found = node.capacity.get("speed")
    if not found:
        return None
    rows: list[tuple[str, str]] = []
    for threads, rates in found["threads"].items():
        rows += _rows(_("%(n)s threads") % {"n": threads}, rates)
    if "gpu" in found:
        rows += _rows(_("GPU"), found["gpu"])
    for device, gains in found.get("bf16_gain", {}).items():
        name = _("bf16 against fp32, %(device)s") % {"device": device.upper()}
        rows.append((name, _gains(gains)))
    for device, tried in found.get("compile", {}).items():
        name = _("Compiled against not, %(device)s") % {"device": device.upper()}
        rows.append((name, _compiled(tried)))
    at = parse_datetime(str(found.get("measured_at", "")))
    return {"at": at, "load": found.get("load"), "rows": rows}


def _rows(device: str, rates: dict[str, Any]) -> Iterable[tuple[str, str]]:
    fp32, bf16 = (max(rates[name].values()) for name in ("products_gflops", "products_bf16_gflops"))
    yield _("%(device)s: products fp32 / bf16") % {"device": device}, _products(fp32, bf16)
    yield _("%(device)s: memory") % {"device": device}, f"{count(rates['memory_gbps'])} GB/s"
    yield _("%(device)s: a call") % {"device": device}, f"{count(rates['operator_us'])} µs"


def _products(fp32: float, bf16: float) -> str:
    return f"{count(round(fp32))} / {count(round(bf16))} GFLOP/s"


def _gains(gains: dict[str, float]) -> str:
    """By width of the model: `128: 80% · 512: 190%`."""
    return " · ".join(f"{width}: {percent(100 * gain)}" for width, gain in gains.items())


def _compiled(tried: dict[str, Any]) -> str:
    if "gain" not in tried:
        return _("cannot be done here")
    words = {"gain": percent(100 * tried["gain"]), "seconds": count(round(tried["seconds"]))}
    return _("%(gain)s after %(seconds)s s of compiling") % words

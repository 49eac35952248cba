"""What another console says of a version that came in a bundle, as its page shows it.

The record is a claim in whatever form the other side chose: only plain words and figures of it are
shown, and shortened.
"""

import json
from collections.abc import Iterator
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.formats import localize
from django.utils.translation import gettext as _

from models_app.registry.cards import METRICS
from models_app.registry.models import ModelVersion, VersionOrigin

LONGEST = 120
MOST_FIGURES = 50
MOST_TEXT = 100_000


def origin_shown(version: ModelVersion) -> dict[str, Any] | None:
    """Rows of words, figures and the whole as text; None for what came in no bundle."""
    origin: VersionOrigin | None = getattr(version, "origin", None)
    if origin is None:
        return None
    text = json.dumps(origin.record, indent=2, sort_keys=True, ensure_ascii=False)
    return {
        "row": origin,
        "way": [f"{hop['model']} v{hop['number']}" for hop in origin.hops],
        "words": list(_words(origin)),
        "figures": list(_figures(origin)),
        "titles": list(METRICS.values()),
        "text": text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…",
    }


def _words(origin: VersionOrigin) -> Iterator[tuple[str, str, str]]:
    """(label, words, digest) of what the record says, where it says anything."""
    record = origin.record
    for label, key in ((_("Dataset"), "dataset"), (_("Settings"), "config")):
        told = _dict(record, key)
        if told:
            yield label, f"{_text(told, 'name')} v{_text(told, 'number')}", _text(told, "digest")
    base = origin.base or _dict(record, "base")
    if base:
        name = f"{_text(base, 'model')} v{_text(base, 'number')}"
        yield _("Base version"), name, _text(base, "digest")
    rest = (
        (_("Seed"), _text(record, "seed"), ""),
        (_("Code"), _text(record, "code_version"), ""),
        (_("Ready since"), _date(_text(record, "ready_at")), ""),
        (_("Scanned there"), _text(_dict(record, "scan"), "verdict"), ""),
        (_("Digest of the whole"), "", _text(_dict(record, "provenance"), "digest")),
    )
    yield from (row for row in rest if row[1] or row[2])


def _figures(
    origin: VersionOrigin,
) -> Iterator[tuple[str, str, str, list[tuple[str, str]]]]:
    """(dataset, split, name there, [(title, value)]) of what the other consoles measured."""
    first = origin.hops[0]["model"] if origin.hops else origin.model
    rows = [(first, row) for row in origin.evaluations]
    rows += [(hop["model"], row) for hop in origin.hops for row in hop["evaluations"]]
    for name, row in rows[:MOST_FIGURES]:
        metrics = _dict(row, "metrics")
        data = f"{_text(row, 'dataset')} v{_text(row, 'number')}"
        values = [(title, _text(metrics, key) or "–") for key, title in METRICS.items()]
        yield data, _text(row, "split"), name, values


def _date(text: str) -> str:
    try:
        found = parse_datetime(text)
    except ValueError:  # of the right form, and no day of the calendar
        return ""
    return localize(found.date()) if found else ""


def _dict(value: Any, key: str) -> dict[str, Any]:
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    if isinstance(found, float):
        return f"{found:.6g}"
    plain = isinstance(found, str | int) and not isinstance(found, bool)
    return " ".join(str(found).split())[:LONGEST] if plain else ""

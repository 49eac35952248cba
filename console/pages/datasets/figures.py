"""Figures of a version: counts of its splits, and how long its documents are."""

from typing import Any

from django.utils.translation import gettext as _

from models_app.datasets.lengths import split_lengths
from models_app.datasets.models import DatasetVersion
from models_app.datasets.selectors import SPLITS
from models_app.datasets.states import VersionState


def splits(version: DatasetVersion) -> list[dict[str, Any]]:
    """Each split with its counts, its share of all documents and the average length."""
    labels = {"train": _("Training"), "validation": _("Validation")}
    total = version.counts.get("total", {}).get("documents", 0)
    rows = []
    for name in SPLITS:
        counts = version.counts.get(name, {})
        documents = counts.get("documents", 0)
        rows.append(
            {
                "name": name,
                "label": labels[name],
                "documents": documents,
                "characters": counts.get("characters", 0),
                "bytes": counts.get("bytes", 0),
                "share": 100 * documents / total if total else 0,
                "average": average_length(counts),
            }
        )
    return rows


def histograms(version: DatasetVersion) -> list[dict[str, Any]]:
    """Of each split that has documents: lengths, and the bins with their share of the largest."""
    if version.state != VersionState.READY:
        return []
    found = []
    for row in splits(version):
        lengths = split_lengths(version, row["name"])
        if lengths is None:
            continue
        most = max(part.documents for part in lengths.bins)
        bins = [
            {
                "low": part.low,
                "high": part.high,
                "documents": part.documents,
                "share": 100 * part.documents / lengths.counted,
                "width": 100 * part.documents / most,
            }
            for part in lengths.bins
        ]
        found.append({**row, "lengths": lengths, "bins": bins})
    return found


def average_length(counts: dict[str, int]) -> int | None:
    """Characters of a document on average; None where there is no document."""
    documents = counts.get("documents", 0)
    return round(counts.get("characters", 0) / documents) if documents else None

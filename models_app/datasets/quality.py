"""Reads the quality of versions: state, report, rules in force, rows behind a figure."""

import json
from functools import lru_cache
from itertools import islice
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.blobs import blob_open
from models_app.core.validation import parse
from models_app.datasets.models import DatasetVersion, QualityPolicy, VersionQuality
from models_app.datasets.policy import MEASURES, PolicySpec
from models_app.datasets.states import QualityState, Shape

#: Rows that a refusal names.
NAMED = 5


def policy_current(team_id: int) -> QualityPolicy | None:
    """The policy in force; None while nobody has changed the rules that there are at first."""
    return QualityPolicy.objects.filter(team_id=team_id).order_by("-number").first()


def policy_spec(team_id: int) -> PolicySpec:
    """The rules in force."""
    policy = policy_current(team_id)
    return PolicySpec() if policy is None else parse(PolicySpec, policy.spec)


def quality_of(version: DatasetVersion) -> VersionQuality:
    """The quality of a version; not stored yet where it was never checked."""
    found = VersionQuality.objects.select_related("report", "policy").filter(version=version)
    return found.first() or VersionQuality(version=version)


def training_refusal(version: DatasetVersion) -> str:
    """Why the version must not be trained on, with figures and rows; empty if it may."""
    if version.shape != Shape.DOCUMENTS:
        said = _(
            "%(version)s holds questions for evaluations, which are never trained on. Choose a"
            " version of documents."
        )
        return said % {"version": version}
    quality = quality_of(version)
    if quality.state == QualityState.BLOCKED:
        blocking = [b for b in quality.breaches if b["action"] == "block"]
        said = _(
            "%(version)s is blocked by the data policy: %(breaches)s. Prepare a better version, or "
            "ask for a waiver."
        )
        text = "; ".join(map(breach_text, blocking))
        return said % {"version": version, "breaches": text}
    unchecked = quality.state == QualityState.UNCHECKED
    if unchecked and policy_spec(version.team_id).unchecked == "refuse":
        said = _("%(version)s is not checked yet, which the data policy demands.")
        return said % {"version": version}
    return ""


def breach_text(breach: dict[str, Any]) -> str:
    """A broken rule in words: what, how much, how much is borne, which rows."""
    said = _("%(measure)s %(percent)s %% (%(count)s of %(of)s, at most %(most)s %%)") % {
        "measure": MEASURES[breach["measure"]],
        "percent": f"{breach['percent']:.3g}",
        "count": f"{breach['count']:,}",
        "of": f"{breach['of']:,}",
        "most": f"{breach['max_percent']:g}",
    }
    rows = [row_name(row) for row in breach["rows"][:NAMED]]
    if not rows:
        return said
    more = ", …" if breach["count"] > len(rows) else ""
    return _("%(what)s in rows %(rows)s") % {"what": said, "rows": ", ".join(rows) + more}


def row_name(row: dict[str, Any]) -> str:
    """`train 12`; of a row that an import passed over, the line of its file."""
    if "file" in row:
        return _("%(file)s line %(line)s") % {"file": row["file"], "line": row["line"]}
    return f"{row['split']} {row['index']}"


def finding_rows(
    quality: VersionQuality, measure: str, *, split: str = "", offset: int = 0, limit: int = 50
) -> tuple[list[dict[str, Any]], bool]:
    """Rows behind a figure from `offset` on, and whether there are more that are listed."""
    entry = quality.report.files.get(f"findings/{measure}.jsonl") if quality.report else None
    if entry is None:
        return [], False
    with blob_open(entry["sha256"]) as lines:
        rows = (json.loads(line) for line in lines)
        wanted = (row for row in rows if not split or row["split"] == split)
        found = list(islice(wanted, offset, offset + limit + 1))
    return found[:limit], len(found) > limit


def index_place(version: DatasetVersion, split: str, offset: int) -> tuple[str, int, int]:
    """Where to begin reading for row `offset`: file, byte, and the number of the row there."""
    report = quality_of(version).report
    entry = report.files.get(f"index/{split}.json") if report else None
    if entry is None:
        return "", 0, 0
    every, places = _index(entry["sha256"])
    if not places:
        return "", 0, 0
    at = min(offset // every, len(places) - 1)
    file, byte = places[at]
    return file, byte, at * every


# Files are named by their content, so what was read once holds for good.
@lru_cache(maxsize=64)
def _index(sha256: str) -> tuple[int, list[tuple[str, int]]]:
    with blob_open(sha256) as stream:
        found = json.load(stream)
    return int(found["every"]), [(file, int(byte)) for file, byte in found["places"]]

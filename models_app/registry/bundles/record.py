"""What this console tells others of a version: facts and digests.

No people, no machines, no paths, and no numbers of rows, which mean nothing elsewhere.
"""

from typing import Any

from models_app.registry.bundles.manifest import MOST_FIGURES
from models_app.registry.cards import card_words
from models_app.registry.evidence import version_evidence
from models_app.registry.models import Conversion, ModelVersion, VersionOrigin
from models_app.registry.provenance import provenance_digests

Json = dict[str, Any]
#: What of an import's source may leave the house.
_SOURCE = ("kind", "url", "repo", "revision", "commit")
#: Parameters of a job are numbers of rows.
_UNTOLD = ("params",)


def origin_of(version: ModelVersion) -> VersionOrigin | None:
    """What the bundle said in which the version came, if it came in one."""
    return VersionOrigin.objects.filter(version=version).first()


def content_of(version: ModelVersion) -> Json:
    """The version as a bundle describes it. What came in a bundle goes on as it came."""
    origin = origin_of(version)
    measured = evaluations_of(version)
    hops = [dict(hop) for hop in origin.hops] if origin else []
    return {
        "origin": {
            "model": version.model.name,
            "number": version.number,
            "evaluations": measured if origin else [],
            "earlier": hops,
        },
        "version": {
            "digest": version.digest,
            "family": version.model.family,
            "files": [{"path": path, **_plain(e)} for path, e in sorted(version.manifest.items())],
        },
        "record": origin.record if origin else record_of(version),
        "evaluations": origin.evaluations if origin else measured,
        "card": _card(version) or (origin.card if origin else None),
    }


def record_of(version: ModelVersion) -> Json:
    """How the version came to be, as far as this console knows it by itself."""
    items = version_evidence(version)
    return {
        "provenance": provenance_digests(version, items),
        "created_at": version.created_at.isoformat(),
        "ready_at": version.ready_at.isoformat() if version.ready_at else None,
        "facts": version.facts,
        "metrics": version.metrics,
        "seed": version.seed,
        "code_version": version.code_version,
        "environment": version.environment,
        "dataset": _dataset(version),
        "config": _config(version),
        "base": named(version.base_version),
        "converted_from": _converted(version),
        "begun_with": named(version.begun_with),
        "continued_from": _continued(version),
        "source": {key: version.source[key] for key in _SOURCE if key in version.source} or None,
        "scan": _scan(version),
        "log_lines": version.produced_by.log_seq if version.produced_by else 0,
        "items": [
            {"name": item.name, "role": item.role, "digest": item.digest, "size": item.size}
            for item in items
            if "/" not in item.name and item.name not in _UNTOLD
        ],
    }


def evaluations_of(version: ModelVersion) -> list[Json]:
    """What was measured here, of late if it is much, in an order of its own."""
    rows = version.evaluations.select_related("dataset_version__dataset")[:MOST_FIGURES]
    found = [
        {
            "dataset": row.dataset_version.dataset.name,
            "number": row.dataset_version.number,
            "digest": row.dataset_version.digest,
            "split": row.split,
            "metrics": row.metrics,
            "at": row.created_at.isoformat(),
        }
        for row in rows
    ]
    return sorted(found, key=lambda row: (row["digest"], row["split"], row["at"]))


def named(version: ModelVersion | None) -> Json | None:
    """A version by what it is called and what it holds."""
    if version is None:
        return None
    return {"model": version.model.name, "number": version.number, "digest": version.digest}


def _plain(entry: Json) -> Json:
    return {"size": entry["size"], "sha256": entry["sha256"]}


def _card(version: ModelVersion) -> Json | None:
    words = card_words(version)
    if words is None:
        return None
    return {name: getattr(words, name) for name in ("body", "license", "languages", "tags")}


def _dataset(version: ModelVersion) -> Json | None:
    data = version.dataset_version
    if data is None:
        return None
    return {
        "name": data.dataset.name, "number": data.number, "digest": data.digest,
        "counts": data.counts, "seed": data.seed,
    }  # fmt: skip


def _config(version: ModelVersion) -> Json | None:
    revision = version.config_revision
    if revision is None:
        return None
    return {
        "name": revision.config.name, "kind": revision.config.kind, "number": revision.number,
        "digest": revision.digest, "spec": revision.spec,
    }  # fmt: skip


def _converted(version: ModelVersion) -> Json | None:
    row = Conversion.objects.filter(output=version).select_related("source__model").first()
    if row is None:
        return None
    told = {"format": row.format, "precision": row.precision, "gate": row.gate}
    return {**(named(row.source) or {}), **told, "passed": row.passed}


def _continued(version: ModelVersion) -> Json | None:
    begun = version.continued_from
    return {"step": begun["step"], "digest": begun["digest"]} if begun else None


def _scan(version: ModelVersion) -> Json | None:
    scan = version.scans.first()
    if scan is None:
        return None
    return {
        "verdict": scan.verdict, "ruleset": scan.ruleset, "scanner": scan.scanner,
        "counts": scan.report.get("counts", {}), "at": scan.created_at.isoformat(),
    }  # fmt: skip

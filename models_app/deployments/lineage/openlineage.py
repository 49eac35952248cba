"""The lineage as OpenLineage run events (https://openlineage.io/spec/2-0-2/OpenLineage.json).

Jobs and revisions become runs; files, dataset versions, model versions and evaluations become the
datasets that they read and write, each with the facet that tells its version: its SHA-256.
"""

import uuid
from typing import Any

from django.conf import settings

from models_app.core.clock import now
from models_app.deployments.lineage.graph import Graph
from models_app.deployments.lineage.nodes import Node
from models_app.registry.code_version import code_version

SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS = "https://openlineage.io/spec/facets"
#: Kinds of nodes that are runs; all others are data.
RUNS = ("job", "revision", "request")
_EVENTS = {
    "succeeded": "COMPLETE", "failed": "FAIL", "timed_out": "FAIL", "canceled": "ABORT",
    "running": "RUNNING", "active": "RUNNING", "rolling_out": "START",
}  # fmt: skip
_ROOM = uuid.UUID("6f8d7f2e-6d0b-5a2c-9b2f-0f6a1d0c9e11")


def openlineage_events(graph: Graph) -> list[dict[str, Any]]:
    """One event for each run in the graph, oldest first."""
    runs = [node for node in graph.nodes.values() if node.kind in RUNS]
    return [_event(graph, node) for node in sorted(runs, key=lambda node: (node.at, node.id))]


def _event(graph: Graph, node: Node) -> dict[str, Any]:
    inputs = [graph.nodes[start] for start, end in graph.edges if end == node.id]
    outputs = [graph.nodes[end] for start, end in graph.edges if start == node.id]
    return {
        "eventType": _EVENTS.get(str(node.facts.get("state", "succeeded")), "OTHER"),
        "eventTime": (getattr(node.row, "finished_at", None) or node.at or now()).isoformat(),
        "run": {"runId": str(uuid.uuid5(_ROOM, node.id)), "facets": _run_facets(graph, node)},
        "job": {
            "namespace": _namespace(),
            "name": _job_name(node),
            "facets": {"jobType": _job_type(node), "documentation": _words(node.title)},
        },
        "inputs": [_dataset(other) for other in inputs if other.kind not in RUNS],
        "outputs": [_dataset(other) for other in outputs if other.kind not in RUNS],
        "producer": _producer(),
        "schemaURL": SPEC,
    }


def _dataset(node: Node) -> dict[str, Any]:
    facets: dict[str, Any] = {"documentation": _words(node.title, "DatasetFacet")}
    if node.digest:
        version = {"datasetVersion": f"sha256:{node.digest}"}
        facets["version"] = {**_facet("1-0-1/DatasetVersionDatasetFacet"), **version}
    return {"namespace": _namespace(), "name": _name(node), "facets": facets}


def _run_facets(graph: Graph, node: Node) -> dict[str, Any]:
    engine = {"version": code_version(), "name": "Slipway"}
    facets = {"processing_engine": {**_facet("1-1-1/ProcessingEngineRunFacet"), **engine}}
    for start, end in graph.edges:
        parent = graph.nodes[start]
        if end == node.id and parent.kind in RUNS:
            facets["parent"] = {
                **_facet("1-2-0/ParentRunFacet"),
                "run": {"runId": str(uuid.uuid5(_ROOM, parent.id))},
                "job": {"namespace": _namespace(), "name": _job_name(parent)},
            }
    return facets


def _job_type(node: Node) -> dict[str, Any]:
    kind = str(node.facts.get("job_kind", "serve" if node.kind == "revision" else node.kind))
    mode = "BATCH" if node.kind == "job" else "SERVICE"
    words = {"processingType": mode, "integration": "SLIPWAY", "jobType": kind.upper()}
    return {**_facet("2-0-4/JobTypeJobFacet"), **words}


def _words(text: str, kind: str = "JobFacet") -> dict[str, Any]:
    return {**_facet(f"1-1-0/Documentation{kind}"), "description": text}


def _facet(path: str) -> dict[str, Any]:
    name = path.rpartition("/")[2]
    url = f"{FACETS}/{path}.json#/$defs/{name}"
    return {"_producer": _producer(), "_schemaURL": url}


def _job_name(node: Node) -> str:
    """What the runs of one sort have in common."""
    if node.kind == "job":
        return f"{node.facts['team']}/{node.facts['job_kind']}"
    deployment = node.row.deployment
    return f"{deployment.team.slug}/{node.kind}/{deployment.name}"


def _name(node: Node) -> str:
    """A dataset's name is the same for all its versions; the facet tells which one it is."""
    if node.kind == "file":
        return f"file/{node.key}"
    if node.kind == "evaluation":
        return f"{node.facts['team']}/evaluation/{node.key}"
    row = node.row
    owner, sort = (
        (row.dataset, "dataset") if node.kind == "dataset_version" else (row.model, "model")
    )
    return f"{node.facts['team']}/{sort}/{owner.name}"


def _namespace() -> str:
    return settings.PUBLIC_URL or "slipway"


def _producer() -> str:
    return f"{settings.PUBLIC_URL or 'http://localhost'}/api/v1/lineage"

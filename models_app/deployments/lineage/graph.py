"""The graph around one thing: everything that it came from, and everything that came of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models_app.core.actor import Actor
from models_app.deployments.lineage.nodes import (
    Node,
    file_nodes,
    node_find,
    node_of,
    seen,
    versions_of_file,
)

#: Steps from the node in one direction, and nodes in one answer, at most.
MOST_DEPTH, MOST_NODES = 50, 500


@dataclass(kw_only=True)
class Graph:
    """Nodes by id in the order in which they were found; edges go the way of the data."""

    start: Node
    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    #: There is more than one answer holds.
    truncated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "node": self.start.id,
            "nodes": [node.to_dict() for node in self.nodes.values()],
            "edges": [{"from": start, "to": end} for start, end in self.edges],
            "truncated": self.truncated,
        }


def lineage_graph(*, actor: Actor, node: str, depth: int = 10, most: int = MOST_NODES) -> Graph:
    """Ancestors and descendants of a node, as far as the actor may see them.

    Raises NotFound when the node is missing or hidden, FieldError for a bad name.
    """
    start = node_find(actor, node)
    graph = Graph(start=start, nodes={start.id: start})
    for step, upwards in ((_parents, True), (_children, False)):
        _walk(graph, actor, step, upwards=upwards, depth=min(depth, MOST_DEPTH), most=most)
    graph.edges = sorted(set(graph.edges))
    return graph


def _walk(
    graph: Graph, actor: Actor, step: Callable[[Actor, Node], list[Node]], *,
    upwards: bool, depth: int, most: int,
) -> None:  # fmt: skip
    level, visited = [graph.start], {graph.start.id}
    for _distance in range(depth):
        following: list[Node] = []
        for node in level:
            for other in seen(actor, step(actor, node)):
                if other.id not in graph.nodes and len(graph.nodes) >= most:
                    graph.truncated = True
                    continue
                graph.nodes.setdefault(other.id, other)
                pair = (other.id, node.id) if upwards else (node.id, other.id)
                graph.edges.append(pair)
                if other.id not in visited:
                    visited.add(other.id)
                    following.append(other)
        level = following
        if not level:
            return


def _parents(actor: Actor, node: Node) -> list[Node]:
    row = node.row
    if node.kind == "dataset_version":
        return [node_of(row.produced_by)] if row.produced_by else _data_inputs(row)
    if node.kind == "model_version":
        jobs = [job for job in (row.produced_by, row.filled_by) if job is not None]
        return [node_of(job) for job in jobs] if jobs else _version_inputs(row)
    if node.kind == "evaluation":
        return [node_of(row.produced_by)]
    if node.kind == "revision":
        return [node_of(row.model_version)]
    if node.kind == "request":
        return [node_of(row)]
    return _job_inputs(row) if node.kind == "job" else []


def _job_inputs(job: Any) -> list[Node]:
    found: list[Node] = []
    for data in job.dataset_versions.all():
        found += _data_inputs(data)
    for version in job.model_versions.all():
        found += _version_inputs(version)
    evaluation = getattr(job, "evaluation", None)
    if evaluation is not None:
        found += [node_of(evaluation.version), node_of(evaluation.dataset_version)]
    return found


def _data_inputs(version: Any) -> list[Node]:
    # A version that was prepared from another one has it in place of files.
    return [node_of(version.parent)] if version.parent else file_nodes(version)


def _version_inputs(version: Any) -> list[Node]:
    rows = (
        version.dataset_version, version.base_version, version.begun_with, version.source_version,
    )  # fmt: skip
    found = [node_of(row) for row in rows if row is not None]
    begun = version.continued_from
    if begun:
        job = type(version.produced_by).objects.filter(pk=begun["job"]).first()
        found += [node_of(job)] if job else []
    return found


def _children(actor: Actor, node: Node) -> list[Node]:
    row = node.row
    if node.kind == "file":
        return [_maker(version) for version in versions_of_file(actor, node.key)]
    if node.kind == "dataset_version":
        rows = [*row.model_versions.all(), *row.evaluations.all(), *row.children.all()]
        return [_maker(made) for made in rows]
    if node.kind == "model_version":
        further = [record.version for record in row.taken_further.all()]
        rows = [*row.derived.all(), *further, *row.evaluations.all(), *row.formats.all()]
        return [*(_maker(made) for made in rows), *(node_of(one) for one in row.revisions.all())]
    if node.kind == "job":
        return _job_outputs(row)
    return []


def _job_outputs(job: Any) -> list[Node]:
    rows = [
        *job.dataset_versions.all(), *job.model_versions.all(), *job.filled_versions.all(),
    ]  # fmt: skip
    evaluation = getattr(job, "evaluation", None)
    if evaluation is not None:
        rows.append(evaluation)
    found = [node_of(row) for row in rows]
    continued = job.reruns.filter(params__continued_from__isnull=False)
    return found + [node_of(row) for row in continued if row.params["continued_from"]]


def _maker(row: Any) -> Node:
    """The job that made a row, which stands between it and what it was made of."""
    return node_of(row.produced_by) if row.produced_by else node_of(row)

"""The picture of a lineage: boxes in layers from left to right, and the lines between them."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.navigation import url_or_none
from console.pages.states import look_of
from models_app.deployments.lineage.graph import Graph
from models_app.deployments.lineage.nodes import Node

WIDTH, HEIGHT, GAP_X, GAP_Y, EDGE = 186, 52, 46, 14, 10
#: Boxes of one kind in one layer before the rest is folded into one box.
SHOWN = 6
KINDS = {
    "file": gettext_lazy("source file"),
    "dataset_version": gettext_lazy("dataset"),
    "job": gettext_lazy("job"),
    "model_version": gettext_lazy("model version"),
    "evaluation": gettext_lazy("evaluation"),
    "revision": gettext_lazy("deployment"),
    "request": gettext_lazy("answer"),
}


@dataclass(kw_only=True)
class Box:
    """One thing in the picture, or several that are folded."""

    title: str
    sub: str
    href: str
    x: float = 0
    y: float = 0
    here: bool = False
    width: int = WIDTH

    def __post_init__(self) -> None:
        self.title, self.sub = (
            _short(self.title, self.width // 7),
            _short(self.sub, self.width // 6),
        )

    @property
    def text_x(self) -> float:
        return self.x + 12

    @property
    def title_y(self) -> float:
        return self.y + 22

    @property
    def sub_y(self) -> float:
        return self.y + 39

    @property
    def middle(self) -> float:
        return self.y + HEIGHT / 2


def picture(graph: Graph, *, unfold: bool = False) -> dict[str, Any]:
    """`{boxes, lines, width, height, label, folded}`."""
    depth = _layers(graph)
    boxes, place, folded = _boxes(graph, depth, unfold=unfold)
    columns: dict[int, list[Box]] = defaultdict(list)
    for key, box in boxes.items():
        columns[depth[key]].append(box)
    most = max(len(column) for column in columns.values())
    height = 2 * EDGE + most * (HEIGHT + GAP_Y) - GAP_Y
    for layer, column in columns.items():
        top = (height - len(column) * (HEIGHT + GAP_Y) + GAP_Y) / 2
        for number, box in enumerate(column):
            box.x, box.y = EDGE + layer * (WIDTH + GAP_X), top + number * (HEIGHT + GAP_Y)
    pairs = {(place[start], place[end]) for start, end in graph.edges}
    return {
        "boxes": list(boxes.values()),
        "lines": [line(boxes[a], boxes[b]) for a, b in sorted(pairs) if a != b],
        "width": 2 * EDGE + len(columns) * (WIDTH + GAP_X) - GAP_X,
        "height": round(height),
        "folded": folded,
        "truncated": graph.truncated,
        "label": _("Lineage of %(name)s: %(n)s things") % {
            "name": graph.start.title, "n": len(graph.nodes),
        },
    }  # fmt: skip


def _layers(graph: Graph) -> dict[str, int]:
    """Each node stands right of everything that it was made of."""
    depth = dict.fromkeys(graph.nodes, 0)
    for _round in range(len(depth)):
        moved = False
        for start, end in graph.edges:
            if depth[end] <= depth[start]:
                depth[end], moved = depth[start] + 1, True
        if not moved:
            break
    known = {layer: number for number, layer in enumerate(sorted(set(depth.values())))}
    return {key: known[layer] for key, layer in depth.items()}


def _boxes(
    graph: Graph, depth: dict[str, int], *, unfold: bool
) -> tuple[dict[str, Box], dict[str, str], int]:
    """Boxes by key, where each node is to be found, and how many nodes are folded away."""
    groups: dict[tuple[int, str], list[Node]] = defaultdict(list)
    for node in graph.nodes.values():
        groups[depth[node.id], node.kind].append(node)
    boxes, place, folded = dict[str, Box](), dict[str, str](), 0
    for (layer, kind), nodes in groups.items():
        ordered = sorted(nodes, key=lambda node: node.id != graph.start.id)
        shown = ordered if unfold or len(ordered) <= SHOWN else ordered[: SHOWN - 1]
        for node in shown:
            boxes[node.id], place[node.id] = _box(graph, node), node.id
        rest = ordered[len(shown) :]
        if rest:
            key = f"more:{layer}:{kind}"
            depth[key] = layer
            boxes[key] = _more(graph, kind, len(rest))
            place.update((node.id, key) for node in rest)
            folded += len(rest)
    return boxes, place, folded


def _box(graph: Graph, node: Node) -> Box:
    here = node.id == graph.start.id
    words = [str(KINDS[node.kind])]
    if "state" in node.facts:
        words.append(str(look_of(node.facts["state"], node.kind).label))
    return Box(
        title=node.title,
        sub=" · ".join(words),
        href="" if here else node_href(node),
        here=here,
    )


def _more(graph: Graph, kind: str, count: int) -> Box:
    query = urlencode({"node": graph.start.id, "unfold": 1})
    return Box(
        title=_("%(n)s more") % {"n": count}, sub=str(KINDS[kind]),
        href=f"{reverse('lineage')}?{query}",
    )  # fmt: skip


def node_href(node: Node) -> str:
    """The page of a thing; for what has none, the lineage around it."""
    row = node.row
    if node.kind == "dataset_version":
        found = url_or_none("dataset_version", row.dataset.team.slug, row.dataset.name, row.number)
    elif node.kind == "model_version":
        found = url_or_none("model_version", row.model.team.slug, row.model.name, row.number)
    elif node.kind == "revision":
        place = row.deployment
        found = url_or_none("revision_detail", place.team.slug, place.name, row.number)
    elif node.kind in ("job", "evaluation"):
        found = url_or_none(f"{node.kind}_detail", row.pk)
    else:
        found = None
    return found or f"{reverse('lineage')}?{urlencode({'node': node.id})}"


def line(start: Box, end: Box) -> str:
    """The path from one box to another, for an SVG."""
    x1, x2 = start.x + start.width, end.x
    bend = (x1 + x2) / 2
    y1, y2 = start.middle, end.middle
    return f"M{x1:g} {y1:g} C{bend:g} {y1:g} {bend:g} {y2:g} {x2:g} {y2:g}"


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"

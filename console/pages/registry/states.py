"""The picture of a hidden Markov model: states on a ring, what they say, how they follow."""

import json
import math
from dataclasses import dataclass
from typing import Any

from models_app.core.blobs import blob_open
from models_app.registry.models import ModelVersion

FILE = "picture.json"
#: A ring of more states is a thicket; a table of their moves says more.
MOST_DRAWN = 12
#: Moves less probable than this are left out of the drawing, not of the table.
LEAST_DRAWN = 0.05
WIDTH, HEIGHT = 640, 460
RING, LARGEST, SMALLEST = 150.0, 46.0, 20.0
SHOWN_UNITS = 8
MOST_BYTES = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Node:
    """A state as a circle: its area follows its share of the text."""

    number: int
    x: float
    y: float
    radius: float
    label: str
    loop: float | None
    #: Where the circle of staying lies.
    loop_x: float
    loop_y: float


@dataclass(frozen=True, kw_only=True)
class Edge:
    """A move from one state to another, as a bent line with the probability at its middle."""

    path: str
    width: float
    text: str
    x: float
    y: float


def states_shown(version: ModelVersion) -> dict[str, Any]:
    """What the tab of states needs; nothing for versions that have no picture."""
    entry = version.manifest.get(FILE)
    if entry is None or entry["size"] > MOST_BYTES:
        return {"picture": None}
    with blob_open(entry["sha256"]) as stream:
        found = json.loads(stream.read())
    states = [_state(row, found["transitions"][row["state"]]) for row in found["states"]]
    drawn = len(states) <= MOST_DRAWN
    nodes = _nodes(states) if drawn else []
    return {
        "picture": {
            "states": states,
            "nodes": nodes,
            "edges": _edges(nodes, found["transitions"]) if drawn else [],
            "width": WIDTH,
            **_frame(nodes),
        }
    }


def _state(row: dict[str, Any], moves: list[float]) -> dict[str, Any]:
    top = row["emissions"][:SHOWN_UNITS]
    most = max((one["probability"] for one in top), default=1.0) or 1.0
    units = [
        {**one, "name": unit_name(one["name"]), "percent": 100 * one["probability"],
         "bar": round(100 * one["probability"] / most)}
        for one in top
    ]  # fmt: skip
    following = sorted(((p, to) for to, p in enumerate(moves)), reverse=True)[:3]
    return {
        **row,
        "units": units,
        "share": 100 * row["stationary"],
        "next": [{"state": to + 1, "percent": 100 * p} for p, to in following],
        "number": row["state"] + 1,
        "moves": moves,
    }


def unit_name(name: str) -> str:
    """A unit that can be seen: white space has signs of its own."""
    return name.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥") or "–"


def _nodes(states: list[dict[str, Any]]) -> list[Node]:
    count = len(states)
    found = []
    for place, row in enumerate(states):
        angle = 2 * math.pi * place / count - math.pi / 2
        # Two states stand beside each other, so that their labels have room.
        angle += math.pi / 2 if count == 2 else 0
        ring = 0.0 if count == 1 else RING
        x = WIDTH / 2 + ring * math.cos(angle) * (1.35 if count > 1 else 1)
        y = HEIGHT / 2 + ring * math.sin(angle)
        radius = SMALLEST + (LARGEST - SMALLEST) * math.sqrt(row["stationary"])
        out = radius + 15
        away = angle if count > 1 else -math.pi / 2
        stay = row["moves"][row["state"]]
        found.append(
            Node(
                number=row["number"],
                x=round(x, 1),
                y=round(y, 1),
                radius=round(radius, 1),
                label=" ".join(one["name"] for one in row["units"][:4]),
                loop=100 * stay if stay >= LEAST_DRAWN else None,
                loop_x=round(x + out * math.cos(away), 1),
                loop_y=round(y + out * math.sin(away), 1),
            )  # fmt: skip
        )
    return found


def _frame(nodes: list[Node]) -> dict[str, int]:
    """From the topmost circle to the lowest label, with room for lines that bend."""
    if not nodes:
        return {"top": 0, "height": HEIGHT}
    top = min(node.y - node.radius for node in nodes) - 50
    bottom = max(node.y + node.radius for node in nodes) + 55
    return {"top": round(top), "height": round(bottom - top)}


def _edges(nodes: list[Node], transitions: list[list[float]]) -> list[Edge]:
    found = []
    for start in nodes:
        for end in nodes:
            share = transitions[start.number - 1][end.number - 1]
            if start is not end and share >= LEAST_DRAWN:
                found.append(_edge(start, end, share))
    return found


def _edge(start: Node, end: Node, share: float) -> Edge:
    """Bent to its own left, so that the way there and the way back are two lines."""
    dx, dy = end.x - start.x, end.y - start.y
    length = math.hypot(dx, dy)
    ux, uy = dx / length, dy / length
    bend = 0.16 * length
    cx = (start.x + end.x) / 2 + uy * bend
    cy = (start.y + end.y) / 2 - ux * bend
    x1, y1 = _edge_of(start, cx, cy, 2)
    x2, y2 = _edge_of(end, cx, cy, 8)
    path = f"M{x1:.1f} {y1:.1f} Q{cx:.1f} {cy:.1f} {x2:.1f} {y2:.1f}"
    middle_x, middle_y = (x1 + 2 * cx + x2) / 4, (y1 + 2 * cy + y2) / 4
    return Edge(
        path=path, width=round(1 + 5 * share, 1), text=f"{100 * share:.0f} %",
        x=round(middle_x + uy * 10, 1), y=round(middle_y - ux * 10 + 4, 1),
    )  # fmt: skip


def _edge_of(node: Node, x: float, y: float, gap: float) -> tuple[float, float]:
    dx, dy = x - node.x, y - node.y
    length = math.hypot(dx, dy) or 1.0
    out = (node.radius + gap) / length
    return node.x + dx * out, node.y + dy * out

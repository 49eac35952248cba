"""Rectangles whose areas are sizes, as nearly square as they can be: what fills the store."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A rectangle in the units of the picture."""

    x: float
    y: float
    width: float
    height: float


def squarify(sizes: Sequence[float], frame: Box) -> list[Box]:
    """A box in `frame` for each size; sizes must be positive and fall."""
    total, area = sum(sizes), frame.width * frame.height
    if not total or area <= 0:
        return [Box(frame.x, frame.y, 0, 0) for _ in sizes]
    left = [size * area / total for size in sizes]
    placed: list[Box] = []
    while left:
        side = min(frame.width, frame.height)
        count = 1
        while count < len(left) and _worst(left[: count + 1], side) <= _worst(left[:count], side):
            count += 1
        row, frame = _row(left[:count], frame)
        placed += row
        left = left[count:]
    return placed


def _worst(areas: Sequence[float], side: float) -> float:
    """How far the worst of a row along this side is from a square."""
    total = sum(areas)
    if not total or not side:
        return float("inf")
    return max(side**2 * max(areas) / total**2, total**2 / (side**2 * min(areas)))


def _row(areas: Sequence[float], frame: Box) -> tuple[list[Box], Box]:
    """The boxes along the shorter side, and what of the frame is left."""
    total, boxes = sum(areas), []
    if frame.width >= frame.height:
        width, y = total / frame.height if frame.height else 0.0, frame.y
        for area in areas:
            height = area / width if width else 0.0
            boxes.append(Box(frame.x, y, width, height))
            y += height
        rest = Box(frame.x + width, frame.y, max(0.0, frame.width - width), frame.height)
    else:
        height, x = total / frame.width if frame.width else 0.0, frame.x
        for area in areas:
            width = area / height if height else 0.0
            boxes.append(Box(x, frame.y, width, height))
            x += width
        rest = Box(frame.x, frame.y + height, frame.width, max(0.0, frame.height - height))
    return boxes, rest

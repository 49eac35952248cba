"""The picture of the store: a block for each team, in it one for each of its largest holders."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from console.pages.figures import size
from console.pages.storage.treemap import Box, squarify
from console.pages.storage.words import holder_href, kind_tone, kind_word
from models_app.storage.models import Holder, StoreReport

#: Holders that are drawn by themselves; all others of a team are one block.
DRAWN = 40
HEAD, GAP, LETTER = 20, 3, 6.6


@dataclass(frozen=True)
class Block:
    """What is drawn: where, in which tone, with which words, leading where."""

    box: Box
    tone: str
    label: str
    amount: str
    title: str
    href: str | None = None


@dataclass(frozen=True)
class Group:
    """A team, or the garbage."""

    box: Box
    label: str
    title: str
    blocks: list[Block]


@dataclass(frozen=True)
class Picture:
    """An SVG of this size."""

    width: int
    height: int
    groups: list[Group]


@dataclass(frozen=True)
class _Item:
    bytes: int
    tone: str
    label: str
    kind: str
    href: str | None = None


def pictures(report: StoreReport, holders: Iterable[Holder]) -> list[Picture]:
    """One for a wide window and one for a phone; none while nothing is stored."""
    groups = _groups(report, list(holders)[:DRAWN])
    if not groups:
        return []
    return [_draw(groups, 1060, 340), _draw(groups, 360, 420)]


def _groups(report: StoreReport, holders: Sequence[Holder]) -> list[tuple[str, list[_Item]]]:
    found: dict[str, list[_Item]] = {}
    for row in holders:
        if row.share_bytes > 0:
            found.setdefault(row.team.slug if row.team else "", []).append(_item(row))
    for team, facts in report.by_team.items():
        rest = facts["share_bytes"] - sum(item.bytes for item in found.get(team, []))
        if rest > 0:
            found.setdefault(team, []).append(_Item(rest, "neutral", _("others"), ""))
    groups = [(team or _("no team"), items) for team, items in found.items()]
    if report.garbage_bytes:
        item = _Item(report.garbage_bytes, "amber", _("nobody's"), _("garbage"))
        groups.append((_("Garbage"), [item]))
    for _team, items in groups:
        items.sort(key=lambda item: -item.bytes)
    return sorted(groups, key=lambda group: -sum(item.bytes for item in group[1]))


def _item(row: Holder) -> _Item:
    word = kind_word(row.kind)
    return _Item(row.share_bytes, kind_tone(row.kind), row.label, word, holder_href(row))


def _draw(groups: list[tuple[str, list[_Item]]], width: int, height: int) -> Picture:
    totals = [sum(item.bytes for item in items) for _label, items in groups]
    boxes = squarify(totals, Box(0, 0, width, height))
    drawn = []
    for (label, items), total, box in zip(groups, totals, boxes, strict=True):
        head = HEAD if box.height > 3 * HEAD and box.width > 50 else 0
        inner = Box(
            box.x + 1,
            box.y + head + 1,
            max(0.0, box.width - GAP),
            max(0.0, box.height - head - GAP),
        )
        blocks = [
            _block(item, place)
            for item, place in zip(
                items, squarify([item.bytes for item in items], inner), strict=True
            )
        ]
        named = f"{label} · {size(total)}"
        text = (_fits(named, box.width) or _fits(label, box.width)) if head else ""
        drawn.append(Group(box=box, label=text, title=named, blocks=blocks))
    return Picture(width=width, height=height, groups=drawn)


def _block(item: _Item, place: Box) -> Block:
    amount = size(item.bytes)
    tall = place.height > 36
    return Block(
        box=Box(place.x, place.y, max(0.0, place.width - 2), max(0.0, place.height - 2)),
        tone=item.tone,
        label=_fits(item.label, place.width) if place.height > 20 else "",
        amount=amount if tall and _fits(amount, place.width) == amount else "",
        title=" · ".join(filter(None, [item.kind, item.label, amount])),
        href=item.href,
    )


def _fits(text: str, width: float) -> str:
    """The words, shortened to the width, or none."""
    most = int((width - 14) / LETTER)
    wide = sum(2 if ord(letter) > 0x2E80 else 1 for letter in text)
    if wide <= most:
        return text
    return f"{text[: most - 1]}…" if most >= 6 and wide == len(text) else ""


def legend(report: StoreReport) -> list[dict[str, Any]]:
    """The kinds of holders with their tones and shares, the largest first."""
    rows = [
        {"label": kind_word(kind), "tone": kind_tone(kind), **facts}
        for kind, facts in report.by_kind.items()
    ]
    return sorted(rows, key=lambda row: -row["share_bytes"])

"""Who goes where in a split: 10,000 cells, each of which belongs to one target.

A caller's key always falls into the same cell. From one revision to the next a cell changes hands
only where it must: a target whose weight grows keeps everybody it had and gets some more.
"""

import hashlib
from collections.abc import Mapping, Sequence

from models_app.routing.spec import CELLS, Target

#: Runs of cells: (first cell after it, key of the target), in order.
Runs = Sequence[Sequence[int | str]]


def cell_of(salt: str, key: str) -> int:
    """The cell of a caller, the same in every process and for all time."""
    digest = hashlib.blake2b(f"{salt}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % CELLS


def allot(targets: Sequence[Target], before: Runs = ()) -> list[list[int | str]]:
    """Cells for targets whose shares make up the whole, with as few changes as there can be."""
    wanted = {target.key: target.cells for target in targets}
    owners: list[str | None] = []
    for end, key in before:
        owners += [str(key) if key in wanted else None] * (int(end) - len(owners))
    owners += [None] * (CELLS - len(owners))
    held: dict[str, int] = dict.fromkeys(wanted, 0)
    for cell, owner in enumerate(owners):
        if owner is None:
            continue
        if held[owner] == wanted[owner]:
            owners[cell] = None
        else:
            held[owner] += 1
    free = iter([cell for cell, owner in enumerate(owners) if owner is None])
    for key, count in wanted.items():
        for _ in range(count - held[key]):
            owners[next(free)] = key
    return _runs(owners)


def _runs(owners: Sequence[str | None]) -> list[list[int | str]]:
    runs: list[list[int | str]] = []
    for cell, owner in enumerate(owners):
        assert owner is not None
        if runs and runs[-1][1] == owner:
            runs[-1][0] = cell + 1
        else:
            runs.append([cell + 1, owner])
    return runs


def allot_all(
    rules: Mapping[str, Sequence[Target]], before: Mapping[str, Runs]
) -> dict[str, list[list[int | str]]]:
    """The cells of every rule by its name, going on from those of the revision before."""
    return {name: allot(targets, before.get(name, ())) for name, targets in rules.items()}

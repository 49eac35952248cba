"""The picture of a store of many files: the first, and the next when nothing has changed.

    python manage.py services --temporary -- python benchmarks/store_inventory.py --files 200000

Files are told by a store that only counts, so that what is measured is ours; a hundred are held by
each of so many dataset versions, a twentieth is garbage. Baseline of the same run: only asking the
database for every digest that it holds, and keeping them in a set, as a collector must at least.
JSON lines.
"""

import argparse
import hashlib
import json
import resource
import time
from collections.abc import Iterator
from typing import Any

from log_stage import database

HELD = 100


class Counting:
    """A store of so many files that lie nowhere."""

    kind, place = "disk", "nowhere"

    def __init__(self, files: int) -> None:
        self.files = files

    def now(self) -> float:
        return time.time()

    def each(self) -> Iterator[Any]:
        from models_app.core.storage.contract import Stored

        return (Stored(digest(n), 1000 + n, 1.8e9) for n in range(self.files))

    def leftovers(self, before: float) -> Iterator[Any]:
        return iter(())

    def free(self) -> None:
        return None


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def fill(files: int) -> None:
    from console.access.models import Team
    from models_app.datasets.models import Dataset, DatasetVersion

    team = Team.objects.create(slug="bench", title="Bench")
    dataset = Dataset.objects.create(team=team, name="many")
    DatasetVersion.objects.bulk_create(
        [
            DatasetVersion(
                dataset=dataset, number=number + 1, state="ready",
                manifest={
                    f"train/{n}": {"sha256": digest(n), "size": 1000 + n}
                    for n in range(number * HELD, (number + 1) * HELD)
                },
            )
            for number in range(files * 19 // 20 // HELD)
        ],
        500,
    )  # fmt: skip


def names() -> int:
    from django.db import connection, transaction

    from models_app.storage.references import naming_fill

    with transaction.atomic(), connection.cursor() as cursor:
        naming_fill()
        cursor.execute("SELECT DISTINCT sha256 FROM naming")
        found = {row[0] for row in cursor.fetchall()}
        transaction.set_rollback(True)
    return len(found)


def timed(action: Any) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    files = parser.parse_args().files
    with database():
        from models_app.storage.inventory import inventory_refresh

        fill(files)
        home: Any = Counting(files)
        first = timed(lambda: inventory_refresh(home))
        again = timed(lambda: inventory_refresh(home))
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        base = timed(names)
        print(
            json.dumps(
                {
                    "files": files, "first_s": round(first, 2), "again_s": round(again, 2),
                    "baseline_s": round(base, 2), "ratio": round(again / base, 2),
                    "peak_mib": own,
                }
            )
        )  # fmt: skip


if __name__ == "__main__":
    main()

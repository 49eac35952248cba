"""Requests go on while what answers them is killed, replaced and scaled: none fails, none is wrong.

    python benchmarks/serving_faults.py [--rate 50] [--only replica gateway …] [--seconds 10]

A fresh stack with servers of its own, a second machine, two gateways behind one port, and a small
trained transformer on two replicas. People ask with the stock `openai` client and its own retries
(a tenth of the requests, the rest by a lighter client with the same rules), open loop; every text
is compared with what the same revision said in peace. Meanwhile, one after
the other: kill -9 a replica, a node (its launcher, its worker and their children), one gateway of
two; roll out another version, roll back; scale 1, 3, 1. One JSON line for each phase and a table;
ends with 1 if a request failed, a text was wrong, or a stream broke that no gateway carried to its
death.
"""

import argparse
import datetime as dt
import json
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.faults.people import People, Told, percentile, questions
from benchmarks.faults.site import Site, running_site, until
from benchmarks.faults.words import sentences

#: Long streams that are under way at each kill.
HELD = 8
#: Tokens of each of them.
LONG = 400
PHASES = ("replica", "node", "gateway", "forward", "back", "scale")


class Course:
    """The phases, each a method; what it returns is told beside its figures."""

    def __init__(self, site: Site, people: People, versions: list[int]) -> None:
        self.site, self.people, self.versions = site, people, versions
        self.number = 0

    def prepare(self) -> None:
        """Both versions answer every question once in peace; the first one stays in service."""
        for version in reversed(self.versions):
            self.number = self.site.revision(version)
            row = self.site.serves(self.number, 2)
            until(lambda row=row: self._says(row["fingerprint"]), "it answers")
        self.site.scaled(self.number, 2)  # held there, however little there is to do

    def _says(self, fingerprint: str) -> bool:
        found = self.people.learn()
        return found.endswith(fingerprint)

    def calm(self) -> dict[str, Any]:
        """Nothing happens."""
        return {}

    def replica(self) -> dict[str, Any]:
        """Kill -9 one of two replicas."""
        lost, pid = self.site.replica_process(self.number)
        self.people.hold(HELD)
        os.kill(pid, signal.SIGKILL)
        begun = time.monotonic()
        until(lambda: lost not in self._ready(), "the loss is noticed")
        self.site.serves(self.number, 2)
        return {"two_again_s": round(time.monotonic() - begun, 1)}

    def node(self) -> dict[str, Any]:
        """Kill -9 a machine with all that runs there; it comes back afterwards."""
        there = self.site.there
        assert there is not None
        rows = self.site.replicas(self.number)
        lost = {row["id"] for row in rows if row["node"] == there.name}
        if not lost:
            raise SystemExit("no replica was on the second machine")
        self.people.hold(HELD)
        begun = time.monotonic()
        there.kill()
        until(lambda: len(self._ready() - lost) == 2, "substitutes serve")
        took = round(time.monotonic() - begun, 1)
        there.start()
        self.site.node_ready(there.name)
        self.site.serves(self.number, 2)
        return {"lost": len(lost), "two_again_s": took}

    def gateway(self) -> dict[str, Any]:
        """Kill -9 the busier gateway of two."""
        self.people.hold(HELD)
        name, pid = self.site.kill_gateway()
        begun = time.monotonic()
        self.site.started_again(name, pid)
        return {"killed": name, "started_again_s": round(time.monotonic() - begun, 1)}

    def forward(self) -> dict[str, Any]:
        """Roll out the other version."""
        begun = time.monotonic()
        number = self.site.revision(self.versions[1])
        self.site.serves(number, 2)
        self.before, self.number = self.number, number
        return {"active_s": round(time.monotonic() - begun, 1)}

    def back(self) -> dict[str, Any]:
        """Roll back to the version before."""
        begun = time.monotonic()
        self.site.api.post(f"{self.site.path}/rollback", {"reason": "faults"})
        self.number = self.before
        self.site.serves(self.number, 2)
        return {"active_s": round(time.monotonic() - begun, 1)}

    def scale(self) -> dict[str, Any]:
        """To one replica, to three, and to one again."""
        took = {}
        for count in (1, 3, 1):
            begun = time.monotonic()
            self.site.scaled(self.number, count)
            took[f"to_{count}_s"] = round(time.monotonic() - begun, 1)
        return took

    def _ready(self) -> set[int]:
        return {row["id"] for row in self.site.replicas(self.number)}


def figures(phase: str, told: list[Told], more: dict[str, Any]) -> dict[str, Any]:
    """What a phase is judged by."""
    how = Counter(row.how for row in told)
    begun = [row.begun for row in told]
    lasted = max(begun, default=0) - min(begun, default=0)
    return {
        "phase": phase,
        "sent": len(told),
        "per_s": round((len(told) - 1) / lasted, 1) if lasted else 0,
        "by_stock_client": sum(row.stock for row in told),
        "ok": how["ok"],
        "429": how["busy"],
        "failed": how["failed"],
        "wrong": how["wrong"],
        "cut": sum(row.cut for row in told),
        "retried": sum(bool(row.retries) for row in told),
        "p50_ms": round(percentile((row.seconds for row in told), 0.5) * 1000),
        "p95_ms": round(percentile((row.seconds for row in told), 0.95) * 1000),
        "max_ms": round(percentile((row.seconds for row in told), 1.0) * 1000),
        "first_p95_ms": round(percentile((r.first_s for r in told if r.first_s), 0.95) * 1000),
        **more,
    }


def good(row: dict[str, Any]) -> bool:
    """Nobody failed, nothing was wrong; only a gateway takes streams with it."""
    whole = row["failed"] == row["wrong"] == row["429"] == 0
    return bool(whole and (row["cut"] == 0 or row["phase"] == "gateway"))


def table(rows: list[dict[str, Any]]) -> str:
    """The figures that all phases have, as a table."""
    names = [
        "phase", "sent", "per_s", "ok", "429", "failed", "wrong", "cut", "retried", "moved",
        "resumed", "p50_ms", "p95_ms", "max_ms",
    ]  # fmt: skip
    lines = [names, *([str(row[name]) for name in names] for row in rows)]
    return "\n".join("  ".join(word.rjust(8) for word in line) for line in lines)


def run(
    site: Site, versions: list[int], rate: float, chosen: list[str], seconds: float
) -> list[dict[str, Any]]:
    """All chosen phases under the load; their figures."""
    site.deployment(f"teller-{secrets.token_hex(2)}")
    people = People(site.stack.gateway_url, site.token, site.model, questions(32), rate, long=LONG)
    course = Course(site, people, versions)
    course.prepare()
    notes: dict[str, dict[str, Any]] = {}
    people.start("calm")
    try:
        for phase in ["calm", *chosen]:
            people.phase, begun, since = phase, time.monotonic(), dt.datetime.now(dt.UTC)
            step: Callable[[], dict[str, Any]] = getattr(course, phase)
            people.well(int(rate))
            notes[phase] = step()
            # What a fault leads to may come later than what was waited for.
            time.sleep(max(2.0, seconds - (time.monotonic() - begun)))
            notes[phase] |= site.records(since, dt.datetime.now(dt.UTC))
            print(f"{phase}: {notes[phase]}", file=sys.stderr, flush=True)
    finally:
        people.stop()
    people.judge()
    for row in people.told:
        if row.error:
            print(json.dumps([row.phase, row.how, row.error[:400]]), file=sys.stderr)
    print(f"latest start: {people.late_s:.2f} s", file=sys.stderr)
    return [
        figures(phase, [row for row in people.told if row.phase == phase], notes[phase])
        for phase in notes
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=50)
    parser.add_argument("--only", nargs="+", choices=PHASES, default=list(PHASES))
    parser.add_argument("--seconds", type=float, default=10, help="least seconds of a phase")
    options = parser.parse_args()
    with running_site() as site:
        versions = site.trained(sentences(), (1, 2))
        rows = run(site, versions, options.rate, options.only, options.seconds)
    for row in rows:
        print(json.dumps({**row, "met": good(row)}), flush=True)
    print(table(rows))
    return 0 if all(map(good, rows)) else 1


if __name__ == "__main__":
    sys.exit(main())

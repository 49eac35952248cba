"""What it costs to prepare, or to check, a dataset version that is larger than the memory.

    python benchmarks/dataset_prepare.py [--mib 1024] [--limit-mib 1024] [--check]

Writes documents of random words, one in a hundred an exact and one a near duplicate, as shards of
64 MiB; then runs the whole preparation (clean, exact and near duplicates, personal data redacted,
split, shards) in a process whose address space is limited. Baseline: reading and hashing the same
bytes in such a process. Prints one JSON line. Goal: it fits into the limit, and every duplicate
that was written is dropped.
"""

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
SHARD = 64 << 20


def documents(size: int) -> Iterator[tuple[str, str]]:
    """(kind, text) until there are so many bytes."""
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrst", k=3 + n % 8)) for n in range(20_000)]
    written, number = 0, 0
    last = ""
    while written < size:
        number += 1
        if number % 100 == 50:
            kind, text = "exact", last.upper()
        elif number % 100 == 0:
            kind, text = "near", f"{last} {chance.choice(words)}"
        else:
            kind, text = "own", " ".join(chance.choices(words, k=60 + number % 240))
            last = text
        written += len(text)
        yield kind, text


def write(folder: Path, size: int) -> dict[str, int]:
    """The shards; how many documents of each kind there are."""
    counts = {"own": 0, "exact": 0, "near": 0}
    folder.mkdir(parents=True)
    number, out = 0, (folder / "00000.jsonl").open("wb")
    for kind, text in documents(size):
        counts[kind] += 1
        out.write(json.dumps({"text": text}).encode() + b"\n")
        if out.tell() > SHARD:
            out.close()
            number += 1
            out = (folder / f"{number:05}.jsonl").open("wb")
    out.close()
    return counts


def inside(name: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """One run in this process, which is limited; called in a process of its own."""
    limit = options["limit_mib"] << 20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    files = sorted((folder / "train").glob("*.jsonl"))
    begun, cpu = time.perf_counter(), time.process_time()
    found: dict[str, Any] = {}
    if name == "read":
        for file in files:
            with file.open("rb") as stream:
                hashlib.file_digest(stream, "sha256")
    else:
        found = _work(name, folder, files, options)
    return {
        "seconds": time.perf_counter() - begun,
        "cpu_seconds": time.process_time() - cpu,
        "peak_mib": peak_mib(),
        **found,
    }


def peak_mib() -> float:
    """Of this process alone; `ru_maxrss` is inherited from the one that started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


class Silent:
    """Events that nobody hears."""

    def log(self, text: str, level: str = "info") -> None: ...

    def progress(self, **values: object) -> None: ...

    def should_stop(self) -> bool:
        return False


def _work(name: str, folder: Path, files: list[Path], options: dict[str, Any]) -> dict[str, Any]:
    from workers.lm.corpus.measuring import MeasureOptions, measure
    from workers.lm.corpus.preparing import prepare
    from workers.lm.corpus.steps import PrepareOptions
    from workers.lm.corpus.stored import Shard

    shards = [
        Shard(split="train", path=file, sha256=options["digests"][file.name]) for file in files
    ]
    silent: Any = Silent()
    if name == "check":
        size = MeasureOptions(documents=options["documents"])
        measured = measure(shards, [], size, folder / "work", folder / "output", silent)
        counts = measured.measures
        return {
            "exact": counts["exact_duplicates"]["count"],
            "near": counts["near_duplicates"]["count"],
        }
    settings = PrepareOptions(personal_data="redact")
    done = prepare(shards, settings, folder / "work", folder / "output", silent)
    return {"exact": done.tally.dropped["exact"], "near": done.tally.dropped["near"]}


def run(name: str, folder: Path, options: dict[str, Any]) -> dict[str, Any]:
    """In a process of its own, for whose memory nobody else answers."""
    command = [sys.executable, __file__, "--inside", name, str(folder), json.dumps(options)]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def digests(folder: Path) -> dict[str, str]:
    found = {}
    for file in sorted((folder / "train").glob("*.jsonl")):
        with file.open("rb") as stream:
            found[file.name] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found


def main() -> int:
    if sys.argv[1:2] == ["--inside"]:
        print(json.dumps(inside(sys.argv[2], Path(sys.argv[3]), json.loads(sys.argv[4]))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=1024, help="text to work on")
    parser.add_argument("--limit-mib", type=int, default=1024, help="address space")
    parser.add_argument("--check", action="store_true", help="check instead of prepare")
    chosen = parser.parse_args()
    name = "check" if chosen.check else "prepare"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        counts = write(folder / "train", chosen.mib << 20)
        options = {
            "limit_mib": chosen.limit_mib, "digests": digests(folder),
            "documents": sum(counts.values()),
        }  # fmt: skip
        plain = run("read", folder, options)
        ours = run(name, folder, options)
    good = ours["exact"] == counts["exact"] and ours["near"] == counts["near"]
    print(
        json.dumps(
            {
                "benchmark": f"dataset_{name}",
                "baseline": "reading and hashing the same bytes",
                "mib": chosen.mib,
                "documents": sum(counts.values()),
                "limit_mib": chosen.limit_mib,
                "peak_mib": round(ours["peak_mib"], 1),
                "baseline_peak_mib": round(plain["peak_mib"], 1),
                "seconds": round(ours["seconds"], 1),
                "mib_per_s": round(chosen.mib / ours["seconds"], 2),
                "mib_per_cpu_s": round(chosen.mib / ours["cpu_seconds"], 2),
                "cpu_ratio": round(ours["cpu_seconds"] / plain["cpu_seconds"], 1),
                "exact": [ours["exact"], counts["exact"]],
                "near": [ours["near"], counts["near"]],
                "good": good,
            }
        )
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

"""The command: measures and prints."""

import argparse
import json
import sys
import time

IMPORTED_AT = time.perf_counter()
import torch  # noqa: E402  (how long this takes is one of the figures)
import transformers  # noqa: E402, F401

IMPORT_S = time.perf_counter() - IMPORTED_AT

from workers.lm.compute.measuring.bench import Bench, rounded  # noqa: E402
from workers.lm.compute.measuring.gains import bf16_gains, compile_gain  # noqa: E402
from workers.lm.compute.measuring.markov import markov_rates  # noqa: E402
from workers.lm.compute.measuring.rates import rates  # noqa: E402
from workers.lm.compute.power import energy_joules  # noqa: E402
from workers.lm.compute.speed import EDITION  # noqa: E402

WATTS_S = 2.0


def measure(cores: int) -> dict[str, object]:
    """Everything but compiling."""
    cpu = torch.device("cpu")
    threads, gains = {}, {}
    for count in sorted({1, cores}):
        torch.set_num_threads(count)
        threads[str(count)] = rates(cpu, count)
    torch.set_num_threads(1)
    gains["cpu"] = bf16_gains(Bench(cpu, 1))
    found: dict[str, object] = {
        "edition": EDITION, "import_s": rounded(IMPORT_S), "cores": cores, "threads": threads,
        "bf16_gain": gains, "watts": watts(cores), "markov": markov_rates(),
    }  # fmt: skip
    if torch.cuda.is_available():
        gpu = torch.device("cuda", 0)
        found["gpu"] = rates(gpu, 1)
        gains["gpu"] = bf16_gains(Bench(gpu, 1))
    return found


def watts(cores: int) -> float | None:
    """Watts of the packages while all cores multiply matrices; None where nobody tells."""
    one = torch.randn(1024, 1024)
    joules, begun = energy_joules(), time.perf_counter()
    if joules is None:
        return None
    torch.set_num_threads(cores)
    while time.perf_counter() - begun < WATTS_S:
        one @ one
    used = (energy_joules() or 0.0) - joules
    return rounded(used / (time.perf_counter() - begun)) if used > 0 else None


def compiling() -> dict[str, object]:
    """What compiling brings on each device."""
    torch.set_num_threads(1)
    found = {"cpu": compile_gain(Bench(torch.device("cpu"), 1))}
    if torch.cuda.is_available():
        found["gpu"] = compile_gain(Bench(torch.device("cuda", 0), 1))
    return {"compile": found}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure how fast this machine computes.")
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="Only what compiling brings")
    options = parser.parse_args()
    sys.stdout.write(json.dumps(compiling() if options.compile else measure(options.cores)) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

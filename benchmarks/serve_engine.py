"""Tokens a second and latencies of the serving engine against what else serves the same model.

    python benchmarks/serve_engine.py [--short] [--systems own-int8,generate] [--rounds 2]

One random Llama shape, greedy, the end of a text ignored, one thread. Every system runs in a child
process, one at a time, in turns (`--rounds`); of each kind of work the best round counts, for
others share the machine. Work: 1, 4 and 16 requests of one size at once, and Poisson arrivals with
mixed lengths. Rows are JSON lines; the last ones compare, say how much of the memory's speed each
system uses and which goals are met, and the command ends with 1 where one is missed. Compare
tokens a CPU second: others move wall times. Every system counts all of its threads, and no process
of its own but the one that is measured. A round takes about ten minutes, most of it `generate`;
`--short` has a smaller model and fewer tokens and takes a minute or two.
Systems over OpenVINO need the packages `openvino` and, for the plain one, `openvino-genai`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.serving.models import SHAPES, write_all  # noqa: E402

#: Those that run unless others are named; `own-bf16`, `genai-int8-bf16` and
#: `own-openvino-int8-bf16` are there as well, for processors with matrix units for it.
SYSTEMS = (
    "own-fp32", "own-int8", "own-openvino-int8", "genai-int8", "continuous-batching",
    "static-batches", "generate",
)  # fmt: skip
LEVELS = ("1", "4", "16", "poisson")
#: (ours, against, work, at least so many times as many tokens a CPU second)
GOALS = (
    ("own-int8", "generate", "16", 10.0),
    ("own-fp32", "continuous-batching", "16", 2.2),
    *(("own-int8", "genai-int8", level, 0.8) for level in LEVELS),
    *(("own-openvino-int8", "genai-int8", level, 0.95) for level in LEVELS),
    *(("own-fp32", other, level, 1.0)
      for other in ("generate", "static-batches", "continuous-batching") for level in LEVELS),
)  # fmt: skip
#: Bytes of a weight, for the share of the memory's speed.
WIDTHS = {"fp32": 4, "bf16": 2, "int8": 1, "generate": 4, "batches": 4, "batching": 4}
SHORT = {"size": "30m", "prompt": 64, "tokens": 24, "poisson": 6, "rate": 4.0, "longest": 64}


def main() -> int:
    options = _options()
    if options.child:
        _child(options)
        return 0
    if options.memory:
        _memory()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        options.folder = Path(folder)
        if not options.systems:
            options.systems = ",".join(name for name in SYSTEMS if _can_run(name))
        weights = write_all(
            options.folder, options.size, _context(options), openvino="openvino" in options.systems
        )
        _emit(about=True, parameters=weights, load=os.getloadavg()[0], size=options.size)
        best: dict[tuple[str, str], dict[str, Any]] = {}
        bandwidth = 0.0
        for _ in range(options.rounds):
            bandwidth = max(bandwidth, _run(["--memory"])[0]["bytes_per_cpu_s"])
            for name in options.systems.split(","):
                for row in _run(_arguments(options, name)):
                    _emit(**row)
                    key = (name, row["work"])
                    known = best.get(key)
                    if known is None or row["tokens_per_cpu_s"] > known["tokens_per_cpu_s"]:
                        best[key] = row
        _compare_with_memory(best, bandwidth, weights)
        return _judge(best)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SHAPES), default="125m")
    parser.add_argument("--systems", default="", help="names, with commas between")
    parser.add_argument("--concurrency", default="1,4,16")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--poisson", type=int, default=16, help="requests; 0 leaves it out")
    parser.add_argument("--rate", type=float, default=1.0, help="of them a second")
    parser.add_argument("--longest", type=int, default=256, help="tokens of them, in and out")
    parser.add_argument("--short", action="store_true", help="a look, not a measurement")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    parser.add_argument("--memory", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, default=None, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.short:
        vars(options).update(SHORT)
    return options


def _can_run(name: str) -> bool:
    if name.startswith("genai"):
        return find_spec("openvino_genai") is not None
    return "openvino" not in name or find_spec("openvino") is not None


def _context(options: argparse.Namespace) -> int:
    return max(512, options.prompt + options.tokens, 2 * options.longest)


def _arguments(options: argparse.Namespace, name: str) -> list[str]:
    told = ["--child", name]
    for key in ("folder", "size", "concurrency", "prompt", "tokens", "poisson", "rate", "longest"):
        told += [f"--{key}", str(getattr(options, key))]
    return told


def _run(arguments: list[str]) -> list[dict[str, Any]]:
    """A child with one thread; its JSON lines."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *arguments],
        env=environment, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def _child(options: argparse.Namespace) -> None:
    import torch

    from benchmarks.serving.systems import make
    from benchmarks.serving.work import poisson, serve, together

    torch.set_num_threads(1)
    vocabulary = SHAPES[options.size]["vocab_size"]
    system = make(options.child, options.folder, _context(options))
    serve(system, together(2, options.prompt, 4, vocabulary))
    work = {
        level: together(int(level), options.prompt, options.tokens, vocabulary)
        for level in options.concurrency.split(",")
    }
    if options.poisson:
        work["poisson"] = poisson(options.poisson, options.rate, 16, options.longest, vocabulary)
    for name, requests in work.items():
        figures = serve(system, requests)
        _emit(system=options.child, work=name, **figures, peak_mib=_peak_mib())
    close = getattr(system, "close", None)
    if close is not None:
        close()


def _peak_mib() -> int:
    """Of this program alone, not of the one that started it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith("VmHWM"))


def _memory() -> None:
    """How fast one thread reads memory that no cache holds."""
    import torch

    torch.set_num_threads(1)
    numbers = torch.ones(128 * 2**20)
    best = 0.0
    for _ in range(4):
        cpu = time.process_time()
        numbers.sum()
        best = max(best, 4 * numbers.numel() / (time.process_time() - cpu))
    _emit(bytes_per_cpu_s=best)


def _compare_with_memory(
    best: dict[tuple[str, str], dict[str, Any]], bandwidth: float, weights: int
) -> None:
    """A step reads all weights once, whatever is in it: how near comes each to that limit?"""
    for (name, work), row in best.items():
        if not work.isdigit():
            continue
        width = next(width for word, width in WIDTHS.items() if word in name)
        together = 1 if name == "generate" else int(work)
        read = row["tokens_per_cpu_s"] / together * width * weights
        _emit(
            system=name, work=work, weights_gb_per_cpu_s=round(read / 1e9, 2),
            memory_gb_per_cpu_s=round(bandwidth / 1e9, 1),
            share_of_memory=round(read / bandwidth, 2),
        )  # fmt: skip


def _judge(best: dict[tuple[str, str], dict[str, Any]]) -> int:
    missed = 0
    for ours, other, work, least in GOALS:
        mine, theirs = best.get((ours, work)), best.get((other, work))
        if mine is None or theirs is None:
            continue
        ratio = mine["tokens_per_cpu_s"] / theirs["tokens_per_cpu_s"]
        missed += ratio < least
        _emit(
            compared=ours, against=other, work=work, ratio_tokens_per_cpu_s=round(ratio, 2),
            goal=least, met=ratio >= least,
        )  # fmt: skip
    return 1 if missed else 0


def _emit(**row: Any) -> None:
    print(json.dumps(row), flush=True)


if __name__ == "__main__":
    sys.exit(main())

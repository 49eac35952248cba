"""Our n-gram training against KenLM's `lmplz` on the same text, in one run.

    python benchmarks/ngram.py --text shakespeare.txt --lmplz kenlm/build/bin/lmplz

Lower-cased words and single other characters are tokens, a line that is not empty is a sentence;
the first 90 % of the tokens train, the rest test. lmplz reads them from a file and writes ARPA, in
as little memory as it takes, for preparing more costs it time. `train_ratio` compares its CPU
seconds with those of our training alone, for jobs have token ids already and keep safetensors;
`whole_ratio` with reading the same file, training and saving safetensors, Python's start aside;
`arpa_ratio` with writing ARPA, too. They alternate; medians count. Without `--lmplz` only our own
figures come out. One JSON line an order; ends with 1 where a goal is missed.
"""

import argparse
import hashlib
import json
import math
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workers.lm.families.ngram.arpa import write_arpa
from workers.lm.families.ngram.arpa_reader import read_arpa
from workers.lm.families.ngram.model import NgramModel
from workers.lm.families.ngram.spec import NgramSpec, Vocabulary
from workers.lm.families.ngram.training import train_ngram

TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)*|[^\sa-z]")
#: nanoGPT's text, and what `lmplz --discount_fallback` made of it, with and without unknown words.
SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
REFERENCE = {3: (168.9192634, 123.6854587), 5: (167.8454344, 122.9187909)}
MARKERS = ("<unk>", "<s>", "</s>")
MOST_RATIO, LEAST_SCORED = 0.3, 1_000_000


def split(text: str) -> tuple[list[list[str]], list[list[str]]]:
    """Sentences to learn from and to test with."""
    sentences = [found for line in text.lower().split("\n") if (found := TOKEN.findall(line))]
    room = int(0.9 * sum(map(len, sentences)))
    used, count = 0, 0
    while used < room:
        used += len(sentences[count])
        count += 1
    return sentences[:count], sentences[count:]


def encoded(lines: list[str], ids: dict[str, int], *, learn: bool) -> tuple[np.ndarray, np.ndarray]:
    tokens, offsets = [], [0]
    for line in lines:
        words = line.split()
        if learn:
            for word in words:
                ids.setdefault(word, len(ids))
        tokens += [ids.get(word, 0) for word in words]
        tokens.append(2)
        offsets.append(len(tokens))
    return np.array(tokens), np.array(offsets)


def ours(train: Path, order: int, folder: Path) -> tuple[dict, NgramModel, dict[str, int]]:
    began = time.process_time()
    ids = {name: number for number, name in enumerate(MARKERS)}
    text = encoded(train.read_text().splitlines(), ids, learn=True)
    read = time.process_time()
    model = train_ngram(
        NgramSpec(order=order), *text, Vocabulary(size=len(ids), begin=1, end=2, unknown=0)
    )
    learned = time.process_time()
    model.save(folder)
    saved = time.process_time()
    write_arpa(model, list(ids), folder / "ours.arpa")
    written = time.process_time() - saved
    seconds = {"train": learned - read, "whole": saved - began, "arpa": written}
    return seconds, model, ids


def theirs(lmplz: str, train: Path, order: int, folder: Path) -> float:
    """CPU seconds of lmplz."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [lmplz, "-o", str(order), "--discount_fallback", "-S", "256M", "-T", str(folder)]
    subprocess.run(
        [*command, "--text", str(train), "--arpa", str(folder / "theirs.arpa")],
        check=True, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def perplexities(model: NgramModel, tokens: np.ndarray, offsets: np.ndarray) -> tuple[float, float]:
    logs = model.score(tokens, offsets)
    return math.exp(-logs.mean()), math.exp(-logs[tokens != 0].mean())


def queried(lmplz: str, arpa: Path, test: Path) -> tuple[float, float]:
    """Perplexities by KenLM's `query`, which lies beside lmplz."""
    query = Path(lmplz).with_name("query")
    done = subprocess.run(
        [str(query), "-v", "summary", str(arpa)], stdin=test.open(), capture_output=True,
        check=True, text=True,
    )  # fmt: skip
    found = [
        re.search(rf"Perplexity {kind} OOVs:\s+(\S+)", done.stdout + done.stderr)
        for kind in ("including", "excluding")
    ]
    return tuple(float(match[1]) for match in found if match)


def serving(model: NgramModel, tokens: np.ndarray) -> float:
    """Milliseconds to the probabilities of all tokens after a context of ten."""
    contexts = [tokens[start : start + 10].tolist() for start in range(0, 5000, 10)]
    began = time.process_time()
    for context in contexts:
        model.log_probs(context)
    return 1000 * (time.process_time() - began) / len(contexts)


def same(one: float, other: float) -> bool:
    """Whether six significant digits are the same, give or take one in the last."""
    return abs(one - other) <= 1e-6 * abs(other)


def measured(
    order: int, train: Path, test: Path, folder: Path, options: argparse.Namespace
) -> dict:
    runs, lmplz = [], []
    for number in range(options.repeats):
        turns = [0, 1] if number % 2 else [1, 0]
        for turn in turns:
            if turn:
                seconds, model, ids = ours(train, order, folder)
                runs.append(seconds)
            elif options.lmplz:
                lmplz.append(theirs(options.lmplz, train, order, folder))
    text = encoded(test.read_text().splitlines(), ids, learn=False)
    learned = encoded(train.read_text().splitlines(), ids, learn=False)
    began = time.process_time()
    model.score(*learned)
    speed = learned[0].size / (time.process_time() - began)
    ppl = perplexities(model, *text)
    row = {
        "order": order,
        "ngrams": model.facts()["ngrams"],
        **{f"{name}_cpu_s": statistics.median(run[name] for run in runs) for name in runs[0]},
        "scored_tokens_per_cpu_s": round(speed),
        "log_probs_ms": serving(model, learned[0]),
        "perplexity": ppl,
        "perplexity_arpa_read_back": perplexities(read_arpa(folder / "ours.arpa")[0], *text),
    }
    goals = {"scoring": speed >= LEAST_SCORED, "serving": row["log_probs_ms"] <= 1}
    goals["arpa"] = all(map(same, row["perplexity_arpa_read_back"], ppl))
    if options.shakespeare and order in REFERENCE:
        goals["reference"] = all(map(same, ppl, REFERENCE[order]))
    if options.lmplz:
        row["lmplz_cpu_s"] = statistics.median(lmplz)
        row["train_ratio"] = row["train_cpu_s"] / row["lmplz_cpu_s"]
        row["whole_ratio"] = row["whole_cpu_s"] / row["lmplz_cpu_s"]
        row["arpa_ratio"] = (row["whole_cpu_s"] + row["arpa_cpu_s"]) / row["lmplz_cpu_s"]
        row["perplexity_lmplz"] = queried(options.lmplz, folder / "theirs.arpa", test)
        row["perplexity_ours_by_kenlm"] = queried(options.lmplz, folder / "ours.arpa", test)
        goals["train"] = row["train_ratio"] <= MOST_RATIO
        goals["kenlm"] = all(map(same, row["perplexity_lmplz"], ppl)) and all(
            map(same, row["perplexity_ours_by_kenlm"], ppl)
        )
    return {**row, "goals": goals}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--lmplz", help="KenLM's program, with `query` beside it")
    parser.add_argument("--orders", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    text = options.text.read_bytes()
    options.shakespeare = hashlib.sha256(text).hexdigest() == SHAKESPEARE
    met = True
    with tempfile.TemporaryDirectory() as name:
        train, test = Path(name, "train.txt"), Path(name, "test.txt")
        for path, sentences in zip((train, test), split(text.decode()), strict=True):
            path.write_text("".join(" ".join(sentence) + "\n" for sentence in sentences))
        for order in options.orders:
            row = measured(order, train, test, Path(name), options)
            print(json.dumps(row), flush=True)
            met = met and all(row["goals"].values())
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

"""Our hidden Markov models against hmmlearn on the same letters, in one run.

    python benchmarks/hmm.py --text shakespeare.txt --hmmlearn VENV/bin/python

The text becomes 27 letters, a to z and space; the first 100,000 train, the last 50,000 are held
out. Both run the same number of iterations from the same parameters over the same chunks, so that
their likelihoods must agree. `ratio` compares the CPU seconds of an iteration. Then the best of
some restarts with two states is to tell the vowels, and the space with them, from the consonants.
Without `--hmmlearn` only our own figures come out. Prints JSON lines; ends with 1 where a goal is
missed.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from workers.lm.families.hmm.chunks import blocks, cut
from workers.lm.families.hmm.expectation import Expected
from workers.lm.families.hmm.parameters import Parameters
from workers.lm.families.hmm.spec import HmmSpec, SpaceChoice
from workers.lm.families.hmm.training import train_hmm

NAMES = " abcdefghijklmnopqrstuvwxyz"
CHUNK, FLOOR = HmmSpec().chunk_length, 1e-12
MOST_RATIO = 1.0

THEIRS = """
import json, sys, time
import numpy as np
from hmmlearn.hmm import CategoricalHMM
asked = json.load(sys.stdin)
model = CategoricalHMM(
    n_components=len(asked["start"]), n_features=27, n_iter=asked["iterations"], tol=-1e9,
    init_params="", params="ste", implementation=asked["implementation"],
)
model.startprob_ = np.array(asked["start"])
model.transmat_ = np.array(asked["transitions"])
model.emissionprob_ = np.array(asked["emissions"])
tokens = np.array(asked["tokens"])[:, None]
began = time.process_time()
model.fit(tokens, asked["lengths"])
spent = time.process_time() - began
print(json.dumps({"cpu_s": spent, "history": list(model.monitor_.history)}))
"""


def letters(path: Path) -> np.ndarray:
    text = re.sub("[^a-z]+", " ", path.read_text().lower())
    return np.array([NAMES.index(letter) for letter in text])


def learn(
    tokens: np.ndarray, parameters: Parameters, iterations: int, space: SpaceChoice
) -> tuple[float, list[float]]:
    """CPU seconds of an iteration, and the likelihood before each."""
    pieces = cut(np.array([0, tokens.size]), CHUNK)
    history = []
    began = time.process_time()
    for _ in range(iterations):
        expected = Expected.none(parameters.states, parameters.vocab_size)
        for block in blocks(tokens, *pieces, parameters.states ** (2 if space == "log" else 1)):
            expected.add(block, parameters, space)
        parameters = Parameters.floored(
            expected.start, expected.transitions, expected.emissions, FLOOR
        )
        history.append(expected.log_likelihood)
    return (time.process_time() - began) / iterations, history


def compared(
    tokens: np.ndarray, states: int, space: SpaceChoice, options: argparse.Namespace
) -> dict:
    iterations = options.iterations
    start = Parameters.drawn(HmmSpec(states=states), 0, tokens, len(NAMES))
    seconds, history = learn(tokens, start, iterations, space)
    row = {"states": states, "space": space, "iteration_cpu_s": seconds, "goals": {}}
    if not options.hmmlearn:
        return row
    asked = {
        "tokens": tokens.tolist(), "lengths": cut(np.array([0, tokens.size]), CHUNK)[1].tolist(),
        "start": start.start.tolist(), "transitions": start.transitions.tolist(),
        "emissions": start.emissions.tolist(), "iterations": iterations,
        "implementation": {"scaled": "scaling", "log": "log"}[space],
    }  # fmt: skip
    done = subprocess.run(
        [options.hmmlearn, "-c", THEIRS], input=json.dumps(asked), capture_output=True, check=True,
        text=True,
    )  # fmt: skip
    theirs = json.loads(done.stdout)
    row["hmmlearn_iteration_cpu_s"] = theirs["cpu_s"] / iterations
    row["ratio"] = seconds / row["hmmlearn_iteration_cpu_s"]
    difference = np.abs(np.array(history) / np.array(theirs["history"]) - 1).max()
    row["largest_difference"] = float(difference)
    row["goals"] = {"speed": row["ratio"] <= MOST_RATIO, "same": bool(difference < 1e-9)}
    return row


def told_apart(tokens: np.ndarray, held_out: np.ndarray) -> dict:
    """Two states after the best of some restarts."""
    spec = HmmSpec(states=2, iterations=200, restarts=6, tolerance=1e-7)
    began = time.process_time()
    model = train_hmm(spec, tokens, np.array([0, tokens.size]), len(NAMES))
    trained = time.process_time()
    logs = model.score(held_out, np.array([0, held_out.size]))
    scored = time.process_time()
    with_e = model.parameters.emissions[:, NAMES.index("e")].argmax()
    preferred = model.parameters.emissions.argmax(axis=0) == with_e
    found = "".join(name for name, there in zip(NAMES, preferred, strict=True) if there)
    return {
        "with_e": found,
        "transitions": model.parameters.transitions.round(3).tolist(),
        "nats": model.facts()["restarts"],
        "train_cpu_s": trained - began,
        "held_out_nats": -logs.mean(),
        "held_out_perplexity": float(np.exp(-logs.mean())),
        "scored_tokens_per_cpu_s": round(held_out.size / (scored - trained)),
        "goals": {"vowels": found == " aeiou"},
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--hmmlearn", help="a Python that has hmmlearn")
    parser.add_argument("--iterations", type=int, default=20)
    options = parser.parse_args()
    tokens = letters(options.text)
    train, held_out = tokens[:100_000], tokens[-50_000:]
    cases: list[tuple[int, SpaceChoice]] = [
        (2, "scaled"),
        (2, "log"),
        (8, "scaled"),
        (32, "scaled"),
    ]
    met = True
    for states, space in cases:
        row = compared(train, states, space, options)
        print(json.dumps(row), flush=True)
        met = met and all(row["goals"].values())
    row = told_apart(train, held_out)
    print(json.dumps(row))
    return 0 if met and all(row["goals"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Logs: numbered without a gap; of each attempt what it said, once and in order."""

import itertools
from collections import defaultdict

from tests.chaos.facts import Facts
from tests.chaos.load import Load


def numbers_have_no_gap(facts: Facts, load: Load) -> list[str]:
    found = []
    for pk, row in facts.jobs.items():
        numbers = [line[0] for line in facts.lines.get(pk, [])]
        if numbers != list(range(1, row["log_seq"] + 1)):
            found.append(f"job {pk} has {len(numbers)} lines, its last number is {row['log_seq']}")
        edge = 0
        for chunk in facts.chunks.get(pk, []):
            if chunk["first_seq"] != edge + 1:
                found.append(f"job {pk}: a chunk begins at {chunk['first_seq']} after {edge}")
            edge = chunk["last_seq"]
    return found


def lines_are_there_once_and_in_order(facts: Facts, load: Load) -> list[str]:
    """Of a self-test every line is known: steps from the resumed one on, each with its lines."""
    found = []
    for pk in load.shorts:
        for epoch, told in steps_told(facts, load, pk).items():
            first = told[0]
            if told != list(range(first, first + len(told))):
                odd = next(n for n, t in zip(range(first, first + len(told)), told, strict=True)
                           if n != t)  # fmt: skip
                found.append(f"job {pk}, attempt {epoch}: its lines go wrong at line {odd}")
    return found


def no_attempt_speaks_after_the_next_one(facts: Facts, load: Load) -> list[str]:
    """By the clock of the machine: what an attempt said, it said before its successor spoke."""
    found = []
    for pk, lines in facts.lines.items():
        spoke: dict[int, list[str]] = defaultdict(list)
        for _, at, epoch, stream, _, _ in lines:
            if stream == "job":
                spoke[epoch].append(at)
        epochs = sorted(spoke)
        for one, other in itertools.pairwise(epochs):
            if max(spoke[one]) > min(spoke[other]):
                found.append(f"job {pk}: attempt {one} spoke after attempt {other} had begun")
    return found


def what_was_saved_was_told(facts: Facts, load: Load) -> list[str]:
    """An attempt goes on from a step whose lines are in the log; a good end is told to the end."""
    found = []
    for pk, job in load.shorts.items():
        width, most = job.params["lines_per_step"], -1
        for epoch, told in sorted(steps_told(facts, load, pk).items()):
            if told[0] > most + 1:
                found.append(f"job {pk}, attempt {epoch}: lines before {told[0]} are missing")
            most = max(most, told[-1])
        if facts.jobs.get(pk, {}).get("state") == "succeeded":
            wanted = job.params["steps"] * width - 1
            if most != wanted:
                found.append(f"job {pk} succeeded and told line {most} of {wanted}")
    return found


def steps_told(facts: Facts, load: Load, pk: int) -> dict[int, list[int]]:
    """Attempt -> numbers of its own lines: (step - 1) * lines a step + line, from 0 on."""
    width = load.shorts[pk].params["lines_per_step"]
    told: dict[int, list[int]] = defaultdict(list)
    for _, _, epoch, stream, _, text in facts.lines.get(pk, []):
        words = text.split()
        if stream == "job" and len(words) > 3 and words[0] == "step":
            told[epoch].append((int(words[1]) - 1) * width + int(words[3]) - 1)
    return told

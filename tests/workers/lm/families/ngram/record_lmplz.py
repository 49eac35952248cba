"""Records what KenLM makes of the sentences: `python -m … LMPLZ QUERY`, run by hand.

Was run with KenLM 4cb443e; the tests compare with the file that it wrote.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.workers.lm.families.ngram.sentences import LEARNED, TESTED

RECORDED = Path(__file__).with_name("lmplz.json")
#: Order and thresholds of every model.
CASES: list[tuple[int, list[int]]] = [
    (1, []), (2, []), (3, []), (4, []), (5, []), (6, []),
    (2, [0, 1]), (3, [0, 0, 1]), (3, [0, 1, 3]), (4, [0, 1]), (5, [0, 0, 0, 1, 2]), (6, [0, 0, 1]),
]  # fmt: skip


def lines_of(sentences: list[list[str]]) -> str:
    return "".join(" ".join(sentence) + "\n" for sentence in sentences)


def record(lmplz: str, query: str, order: int, prune: list[int], folder: Path) -> dict:
    arpa = folder / "model.arpa"
    command = [lmplz, "-o", str(order), "--discount_fallback", "-S", "1G", "-T", str(folder)]
    command += ["--prune", *map(str, prune)] if prune else []
    done = subprocess.run(
        [*command, "--arpa", str(arpa)], input=lines_of(LEARNED).encode(), capture_output=True,
        check=True,
    )  # fmt: skip
    told = done.stderr.decode()
    discounts = re.findall(r"^\d+ \S+ D1=(\S+) D2=(\S+) D3\+=(\S+)$", told, re.M)
    counts = re.findall(r"^ngram \d+=(\d+)$", arpa.read_text(), re.M)
    return {
        "order": order,
        "prune": prune,
        "counts": [int(count) for count in counts],
        "discounts": [[float(value) for value in row] for row in discounts],
        "fallback": re.findall(r"fallback discounts for order (\d+)", told),
        "scores": scores_of(arpa, query, order),
    }


def scores_of(arpa: Path, query: str, order: int) -> list[float]:
    """Decimal logarithms of the tested words; looked up where `query` refuses: for order 1."""
    if order == 1:
        rows = (line.split("\t") for line in arpa.read_text().splitlines() if "\t" in line)
        alone = {row[1]: float(row[0]) for row in rows}
        words = [word for sentence in TESTED for word in (*sentence, "</s>")]
        return [alone.get(word, alone["<unk>"]) for word in words]
    asked = subprocess.run(
        [query, str(arpa)], input=lines_of(TESTED).encode(), capture_output=True, check=True
    )
    return [float(score) for score in re.findall(r"\S+=\d+ \d+ (\S+)", asked.stdout.decode())]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [record(*sys.argv[1:3], *case, Path(folder)) for case in CASES]
    rows = ",\n".join(json.dumps(row) for row in found)
    RECORDED.write_text(f"[\n{rows}\n]\n")


if __name__ == "__main__":
    main()

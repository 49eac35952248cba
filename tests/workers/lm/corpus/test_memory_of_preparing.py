"""The memory of a preparation and of a check does not grow with the text."""

import json
import subprocess
import sys

import pytest

from tests.factories.corpora import lines_of, nearly, shard, texts
from tests.waiting import WAIT_S

pytestmark = pytest.mark.nodb

SCRIPT = """
import json, sys
from pathlib import Path
from tests.factories.corpora import Silent
from workers.lm.corpus import measuring
from workers.lm.corpus.measuring import MeasureOptions, measure
from workers.lm.corpus.preparing import prepare
from workers.lm.corpus.steps import PrepareOptions
from workers.lm.corpus.stored import Shard

folder = Path(sys.argv[1])
def peak():
    # Not ru_maxrss: a process inherits that from the one that started it.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])
def run(name):
    path = folder / name / "train" / "00000.jsonl"
    shards = [Shard(split="train", path=path, sha256=sys.argv[2 + (name == "large")])]
    made = prepare(shards, PrepareOptions(), folder / "w", folder / "o", Silent())
    size = MeasureOptions(documents=made.tally.seen)
    seen = measure(shards, [], size, folder / "w", folder / "r", Silent())
    return made.tally.dropped["near"], seen.measures["near_duplicates"]["count"]

# The model of the languages takes more than all of this, and would hide what grows.
measuring.language_of = lambda text: "en"
run("small")
before = peak()
print(json.dumps([*run("large"), peak() - before]))
"""


def test_it_stays_the_same_for_twelve_times_the_text(tmp_path):
    many = texts(6000, words=300)
    small = shard(tmp_path / "small", "train", lines_of(many[:500]))
    large = shard(tmp_path / "large", "train", lines_of([*many, *map(nearly, many[:60])]))

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), small.sha256, large.sha256],
        capture_output=True, text=True, check=True, timeout=WAIT_S,
    )  # fmt: skip

    prepared, checked, grown_kib = json.loads(done.stdout)
    assert (prepared, checked) == (60, 60)
    size_kib = (tmp_path / "large" / "train" / "00000.jsonl").stat().st_size / 1024
    print(f"{grown_kib} KiB more for {size_kib:.0f} KiB of text")
    assert size_kib > 12 * 1024
    assert grown_kib < size_kib / 2

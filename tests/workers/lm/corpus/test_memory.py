"""Large sources are read in bounded memory."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource, sys
from pathlib import Path
from workers.lm.corpus.building import CorpusOptions, build_corpus
from workers.lm.corpus.sources import Source

class Silent:
    def log(self, text, level="info"): pass
    def progress(self, **values): pass
    def should_stop(self): return False

folder = Path(sys.argv[1])
def run(name):
    path = folder / name
    source = Source(name=name, path=path, size=path.stat().st_size)
    return build_corpus([source], CorpusOptions(), folder / "work", folder / name[:-6], Silent())

run("small.jsonl")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
corpus = run("large.jsonl")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, corpus.documents)
"""


@pytest.mark.slow
@pytest.mark.nodb
def test_200_mib_are_read_with_a_few_mib_more(tmp_path: Path):
    line = b'{"text": "' + b"seven wizards mix strange potions " * 60 + b'"}\n'
    (tmp_path / "small.jsonl").write_bytes(line * 100)
    with (tmp_path / "large.jsonl").open("wb") as out:
        for _ in range(100):
            out.write(line * (2 * 1024**2 // len(line)))

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=True,
        timeout=300,
    )  # fmt: skip

    grown_kib, documents = map(int, done.stdout.split())
    assert documents == 100 * (2 * 1024**2 // len(line))
    assert grown_kib < 24 * 1024
    shards = sorted((tmp_path / "large" / "train").iterdir())
    assert len(shards) >= 3
    assert all(shard.stat().st_size <= 64 * 1024**2 for shard in shards)

"""A preparation of stored shards: what stays, where it goes, and that it is the same every time."""

import os
import subprocess
import sys

import pytest

from tests.factories.corpora import Silent, lines_of, nearly, shard, texts
from tests.waiting import WAIT_S
from workers.lm.corpus.preparing import NothingLeft, prepare
from workers.lm.corpus.steps import PrepareOptions
from workers.lm.corpus.stored import CorruptShard, Shard, document_of, read_rows
from workers.lm.errors import Stopped

pytestmark = pytest.mark.nodb

AGAIN = """
import hashlib, sys
from pathlib import Path
from tests.factories.corpora import Silent
from workers.lm.corpus.preparing import prepare
from workers.lm.corpus.steps import PrepareOptions
from workers.lm.corpus.stored import Shard

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
shards = [
    Shard(split=path.parent.name, path=path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    for path in sorted(folder.rglob("*.jsonl"))
]
options = PrepareOptions(near_duplicates="group", personal_data="redact", shard_mib=1)
prepare(shards, options, out / "work", out / "output", Silent())
for path in sorted((out / "output").rglob("*.jsonl")):
    print(path.relative_to(out), hashlib.sha256(path.read_bytes()).hexdigest())
"""


def run(tmp_path, shards, **options):
    prepared = prepare(shards, PrepareOptions(**options), tmp_path / "w", tmp_path / "o", Silent())
    return prepared, {
        split: [
            document_of(line.encode())[1]
            for file in sorted((tmp_path / "o" / split).glob("*.jsonl"))
            for line in file.read_text().splitlines()
        ]
        for split in ("train", "validation")
    }


class TestDuplicates:
    def test_the_first_one_stays(self, tmp_path):
        base = texts(50)
        double = [base[0], f"  {base[1].upper()}\n", nearly(base[2])]
        prepared, kept = run(tmp_path, [shard(tmp_path / "in", "train", lines_of(base + double))])

        assert sorted(kept["train"] + kept["validation"]) == sorted(base)
        assert prepared.tally.dropped["exact"] == 2
        assert prepared.tally.dropped["near"] == 1

    def test_similar_ones_go_to_the_same_split(self, tmp_path):
        base = texts(60)
        lines = lines_of([*base, *map(nearly, base)])
        _prepared, kept = run(
            tmp_path, [shard(tmp_path / "in", "train", lines)],
            near_duplicates="group", validation_fraction=0.4,
        )  # fmt: skip

        assert len(kept["train"]) + len(kept["validation"]) == 120
        for text in base:
            assert (text in kept["train"]) == (nearly(text) in kept["train"])

    def test_a_document_keeps_its_split_when_others_come_and_go(self, tmp_path):
        base = texts(80)
        _one, few = run(tmp_path, [shard(tmp_path / "a", "train", lines_of(base[:40]))])
        _two, many = run(tmp_path, [shard(tmp_path / "b", "train", lines_of(base[::-1]))])
        assert set(few["validation"]) <= set(many["validation"])
        assert 0 < len(many["validation"]) < 30

    def test_texts_between_the_thresholds_are_kept(self, tmp_path):
        text = texts(1, words=40)[0]
        half = " ".join([*text.split()[:20], *texts(1, seed=5, words=20)[0].split()])
        prepared, _kept = run(tmp_path, [shard(tmp_path / "in", "train", lines_of([text, half]))])
        assert prepared.counts["total"]["documents"] == 2


class TestSteps:
    @pytest.mark.parametrize(
        ("before", "after", "options"),
        [
            ("e\u0301a", "\u00e9a", {}),
            ("a\x00b\u200bc\r\nd", "abc\nd", {}),
            ("  a \t b\n\n\n\nc  ", "a b\n\nc", {"whitespace": "collapse"}),
            ("abcdef", "abc", {"max_characters": 3, "longer": "cut"}),
            ("mail bob@example.com!", "mail [EMAIL]!", {"personal_data": "redact"}),
            ("\ufb01n", "fin", {"unicode": "nfkc"}),
        ],
    )
    def test_change_a_text(self, tmp_path, before, after, options):
        _prepared, kept = run(
            tmp_path, [shard(tmp_path / "in", "train", lines_of([before]))],
            validation_fraction=0, **options,
        )  # fmt: skip
        assert kept["train"] == [after]

    @pytest.mark.parametrize(
        ("line", "step", "options"),
        [
            ('{"text": "ab"}', "length", {"min_characters": 3}),
            ('{"text": "abcd"}', "length", {"max_characters": 3}),
            ('{"text": " \\n"}', "clean", {}),
            ('{"txt": "ab"}', "schema", {}),
            ('{"text": 5}', "schema", {}),
            ("not JSON", "schema", {}),
            ('{"text": "Das ist ein ganz gewöhnlicher Satz in deutscher Sprache."}', "language",
             {"languages": ("en",)}),
            ('{"text": "call +49 30 1234567 now"}', "personal_data", {"personal_data": "drop"}),
        ],
    )  # fmt: skip
    def test_drop_a_document_and_say_where(self, tmp_path, line, step, options):
        english = "This is a plain sentence in the English language, long enough to be told."
        lines = [line, *lines_of([english[: options.get("max_characters", 99)]])]
        prepared, _kept = run(tmp_path, [shard(tmp_path / "in", "train", lines)], **options)
        assert prepared.tally.dropped[step] == 1
        assert prepared.counts["total"]["documents"] == 1

    def test_conversations_are_redacted_message_by_message(self, tmp_path):
        line = (
            '{"messages": [{"role": "user", "content": "I am bob@example.com"}, '
            '{"role": "assistant", "content": "Hello."}]}'
        )
        run(tmp_path, [shard(tmp_path / "in", "train", [line])], personal_data="redact",
            validation_fraction=0)  # fmt: skip
        [stored] = (tmp_path / "o" / "train" / "00000.jsonl").read_text().splitlines()
        assert '"content":"I am [EMAIL]"' in stored

    def test_nothing_left_names_the_step(self, tmp_path):
        with pytest.raises(NothingLeft, match=r"'length' dropped 3 of 3"):
            run(tmp_path, [shard(tmp_path / "in", "train", lines_of(texts(3)))],
                min_characters=10_000)  # fmt: skip


class TestAgain:
    def test_gives_the_same_bytes_whatever_the_hash_seed(self, tmp_path):
        base = texts(300)
        base[3] += " bob@example.com"
        shard(tmp_path / "in", "train", lines_of([*base[:200], *map(nearly, base[:20])]))
        shard(tmp_path / "in", "validation", lines_of(base[190:]))
        answers = {
            subprocess.run(
                [sys.executable, "-c", AGAIN, str(tmp_path / "in"), str(tmp_path / seed)],
                env={**os.environ, "PYTHONHASHSEED": seed, "OPENBLAS_NUM_THREADS": seed},
                capture_output=True, text=True, check=True, timeout=WAIT_S,
            ).stdout
            for seed in ("1", "2", "3")
        }  # fmt: skip
        [said] = answers
        assert said.count(".jsonl") == 2

    def test_after_a_stop_it_begins_anew(self, tmp_path):
        source = [shard(tmp_path / "in", "train", lines_of(texts(40)))]
        whole, _kept = run(tmp_path / "whole", source)
        stopping = Silent()
        stopping.stop = True
        with pytest.raises(Stopped):
            prepare(source, PrepareOptions(), tmp_path / "w", tmp_path / "o", stopping)
        again, _kept = run(tmp_path, source)
        assert again.counts == whole.counts

    def test_a_damaged_shard_is_refused(self, tmp_path):
        good = shard(tmp_path / "in", "train", lines_of(texts(3)))
        bad = Shard(split="train", path=good.path, sha256="0" * 64)
        with pytest.raises(CorruptShard, match=r"train/00000\.jsonl"):
            run(tmp_path, [bad])


def test_rows_say_what_is_wrong_with_them(tmp_path):
    lines = ["{}", "[1]", '{"messages": [{"role": "nobody"}]}', '{"text": "fine"}']
    rows = list(read_rows([shard(tmp_path, "train", lines)]))
    assert [bool(row.problem) for row in rows] == [True, True, True, False]
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b'{"text": "caf\xe9"}\n')
    [row] = read_rows([Shard(split="train", path=path, sha256=_sha(path))])
    assert "not UTF-8: byte 0xe9" in row.problem


def _sha(path):
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()

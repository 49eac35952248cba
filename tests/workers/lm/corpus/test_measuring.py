"""Every defect is planted in one document of a hundred, and counted exactly."""

import json
import random

import pytest

from tests.factories.corpora import Silent, lines_of, nearly, shard, texts
from workers.lm.corpus.measuring import MeasureOptions, Other, measure

pytestmark = pytest.mark.nodb
N = 2000
PLANTED = N // 100


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Two thousand training documents with twenty of each defect, and 200 for validation."""
    folder = tmp_path_factory.mktemp("planted")
    base = texts(N - 6 * PLANTED)
    fresh = texts(2 * PLANTED, seed=2)
    rows = (
        lines_of(
            [
                *base,
                *(text.upper() for text in base[:PLANTED]),
                *(nearly(text) for text in base[100 : 100 + PLANTED]),
                *[" "] * PLANTED,
                *(f"{text} or write to bob@example.com" for text in fresh[:PLANTED]),
                *(f"{text} password=hunter2-{n}" for n, text in enumerate(fresh[PLANTED:])),
            ]
        )
        + [json.dumps({"body": "x"})] * PLANTED
    )
    random.Random(3).shuffle(rows)
    held_out = texts(196, seed=4)
    leaked = [base[200], base[201], nearly(base[202]), nearly(base[203])]
    judged = [*texts(10, seed=5), *base[300 : 300 + PLANTED // 2],
              *map(nearly, base[400 : 400 + PLANTED // 2])]  # fmt: skip
    measured = measure(
        [
            shard(folder, "train", rows[:1200], 0),
            shard(folder, "train", rows[1200:], 1),
            shard(folder, "validation", lines_of(held_out + leaked)),
        ],
        [Other(id=7, name="judge v1", shards=[shard(folder / "other", "train", lines_of(judged))])],
        MeasureOptions(documents=N + 200),
        folder / "work",
        folder / "output",
        Silent(),
    )
    return measured.to_dict(), folder / "output", rows


@pytest.mark.parametrize(
    ("measure_name", "count"),
    [
        ("schema", PLANTED), ("empty", PLANTED), ("exact_duplicates", PLANTED),
        ("near_duplicates", PLANTED), ("personal_data", PLANTED), ("secrets", PLANTED),
        ("leakage_exact", 2), ("leakage_near", 2), ("leakage_evaluation", PLANTED),
    ],
)  # fmt: skip
def test_counts_are_exact(planted, measure_name, count):
    report, output, _rows = planted
    assert report["measures"][measure_name]["count"] == count
    listed = (output / "findings" / f"{measure_name}.jsonl").read_text().splitlines()
    assert len(listed) == count


def test_rows_are_named_by_split_and_number(planted):
    report, _output, rows = planted
    for named in report["measures"]["secrets"]["rows"]:
        assert named["split"] == "train"
        assert "password=hunter2" in rows[named["index"]]
    near = report["measures"]["near_duplicates"]["rows"][0]
    pair = [json.loads(rows[one["index"]])["text"] for one in (near, near["other"])]
    assert nearly(pair[0]) == nearly(pair[1])


def test_figures_of_the_whole(planted):
    report, _output, _rows = planted
    assert report["documents"] == {"train": N, "validation": 200, "total": N + 200}
    assert report["personal"]["email"] == {"documents": PLANTED, "hits": PLANTED}
    assert report["evaluation"] == [{"version": 7, "name": "judge v1", "count": PLANTED}]
    assert report["lengths"]["validation"]["words"]["median"] == 40
    assert sum(part["documents"] for part in report["lengths"]["train"]["characters"]["bins"]) == (
        N - PLANTED
    )


def test_the_index_says_where_rows_begin(planted):
    _report, output, rows = planted
    index = json.loads((output / "index" / "train.json").read_text())
    file, offset = index["places"][3]
    assert index["every"] == 500
    assert file == "00001.jsonl"
    place = output.parent / "train" / file
    assert place.read_bytes()[offset:].split(b"\n")[0].decode() == rows[1500]


def test_a_change_of_the_schema_in_the_middle_is_seen(tmp_path):
    talk = '{"messages": [{"role": "user", "content": "Hello there, how are you?"}]}'
    rows = [*lines_of(texts(5)), talk, talk]
    report = measure([shard(tmp_path, "train", rows)], [], MeasureOptions(documents=7),
                     tmp_path / "w", tmp_path / "o", Silent())  # fmt: skip
    found = report.measures["schema"]
    assert found["count"] == 2
    assert found["rows"][0] == {
        "split": "train", "index": 5, "detail": "messages in a version of text",
    }  # fmt: skip


def test_languages_are_told(tmp_path):
    rows = lines_of(
        [
            "This is a plain English sentence about nothing in particular.",
            "Das ist ein ganz gewöhnlicher Satz in deutscher Sprache über nichts.",
            "今天天气很好，我们一起去公园散步吧，然后再去吃饭。",
            "12 34",
        ]
    )
    report = measure([shard(tmp_path, "train", rows)], [], MeasureOptions(documents=4),
                     tmp_path / "w", tmp_path / "o", Silent())  # fmt: skip
    assert report.languages == {"en": 1, "de": 1, "zh": 1, "und": 1}

"""The import of a dataset version: what comes out, and what is said about bad input."""

import csv
import gzip
import io
import json

import pyarrow
import pytest
import zstandard
from pyarrow import parquet

from models_app.core.blobs import blob_open
from models_app.datasets.importing import ImportOptions
from models_app.datasets.selectors import split_files, version_rows
from models_app.datasets.services import dataset_create, version_import_path, version_reimport
from models_app.jobs.attempts import job_fail
from models_app.jobs.claims import job_claim
from models_app.jobs.services import job_cancel
from tests.factories.data import pending_version, ready_version, sample_text, stored
from tests.factories.jobs import placed
from tests.fakes.jobs import run_job

pytestmark = pytest.mark.django_db


def imported(ana, team, tmp_path, *files, **options):
    version = pending_version(ana, team, *(stored(*file) for file in files), **options)
    run_job(version.produced_by, tmp_path)
    version.refresh_from_db()
    return version


def documents(version, split):
    lines = []
    for _, entry in split_files(version, split):
        with blob_open(entry["sha256"]) as stream:
            lines += [json.loads(line) for line in stream]
    return lines


def table(rows):
    out = io.BytesIO()
    parquet.write_table(pyarrow.table({"id": list(range(len(rows))), "text": rows}), out)
    return out.getvalue()


def csv_bytes(rows):
    out = io.StringIO()
    csv.writer(out).writerows([["id", "text"], *([i, row] for i, row in enumerate(rows))])
    return out.getvalue().encode()


ROWS = ["eins", "zwei, drei", "vier\nfünf", "sechs", '"sieben"']
JSONL = "".join(json.dumps({"text": row}, ensure_ascii=False) + "\n" for row in ROWS).encode()


class TestFormats:
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("rows.jsonl", JSONL),
            ("rows.jsonl", b"\xef\xbb\xbf" + JSONL),
            ("rows.csv", csv_bytes(ROWS)),
            ("rows.parquet", table(ROWS)),
            ("rows.jsonl.gz", gzip.compress(JSONL, mtime=0)),
            ("rows.csv.zst", zstandard.compress(csv_bytes(ROWS))),
            ("rows.parquet.gz", gzip.compress(table(ROWS), mtime=0)),
        ],
    )
    def test_gives_the_same_documents_from_every_format(self, ana, team, tmp_path, name, data):
        version = imported(ana, team, tmp_path, (name, data), validation_fraction=0.4)

        assert version.state == "ready", version.error
        texts = [row["text"] for row in documents(version, "train")]
        held_out = [row["text"] for row in documents(version, "validation")]
        assert len(held_out) == 2
        assert sorted(texts + held_out) == sorted(ROWS)
        assert version.counts["total"] == {
            "documents": 5,
            "characters": sum(map(len, ROWS)),
            "bytes": sum(len(row.encode()) for row in ROWS),
            "answered": 0,
        }

    def test_keeps_conversations(self, ana, team, tmp_path):
        talk = {"messages": [{"role": "user", "content": "Hi"},
                             {"role": "assistant", "content": "Yes?"}]}  # fmt: skip
        data = (json.dumps(talk) + "\n").encode() * 3

        version = imported(ana, team, tmp_path, ("talk.jsonl", data))

        assert documents(version, "train") == [talk, talk]

    @pytest.mark.parametrize(
        ("mode", "expected"),
        [
            ("line", ["a", "b", "c", "d"]),
            ("paragraph", ["a\nb", "c", "d"]),
            ("file", ["a\nb\n\nc\n", "d\n"]),
        ],
    )
    def test_cuts_text_files_as_asked(self, ana, team, tmp_path, mode, expected):
        files = ("1.txt", b"a\r\nb\r\n\r\nc\n"), ("2.txt", b"d\n")

        version = imported(ana, team, tmp_path, *files, document=mode)

        rows = documents(version, "train") + documents(version, "validation")
        assert sorted(row["text"] for row in rows) == expected


class TestSplit:
    def test_is_the_same_for_the_same_sources_and_options(self, ana, team, tmp_path):
        one = imported(ana, team, tmp_path, ("a.txt", sample_text()))
        two = imported(ana, team, tmp_path, ("a.txt", sample_text()))
        other = imported(ana, team, tmp_path, ("a.txt", sample_text()), seed=7)

        assert one.digest == two.digest != other.digest
        assert one.number + 1 == two.number

    @pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.5, 0.9])
    def test_holds_out_exactly_the_share(self, ana, team, tmp_path, fraction):
        version = imported(
            ana, team, tmp_path, ("a.txt", sample_text()), validation_fraction=fraction
        )

        train, held_out = documents(version, "train"), documents(version, "validation")
        assert len(held_out) == round(60 * fraction)
        assert len(train) + len(held_out) == 60
        assert version.counts["validation"]["documents"] == len(held_out)

    def test_cuts_a_single_file_at_the_character(self, ana, team, tmp_path):
        text = "äb" * 500

        version = imported(
            ana, team, tmp_path, ("a.txt", text.encode()), document="file", split="contiguous"
        )

        assert documents(version, "train") == [{"text": text[:900]}]
        assert documents(version, "validation") == [{"text": text[900:]}]

    def test_keeps_the_order_when_contiguous(self, ana, team, tmp_path):
        lines = b"".join(b"line %02d\n" % n for n in range(20))

        version = imported(
            ana, team, tmp_path, ("a.txt", lines), document="line", split="contiguous"
        )

        assert [row["text"] for row in documents(version, "validation")] == ["line 18", "line 19"]

    def test_holds_out_what_the_names_say(self, ana, team, tmp_path):
        files = [("test.jsonl", b"c"), ("train.jsonl", b"a"), ("validity.jsonl", b"b")]
        rows = [(name, b'{"text": "%s"}\n' % text) for name, text in files]

        version = imported(ana, team, tmp_path, *rows, split="named")

        assert [row["text"] for row in documents(version, "train")] == ["a", "b"]
        assert [row["text"] for row in documents(version, "validation")] == ["c"]

    def test_stops_at_the_most_documents(self, ana, team, tmp_path):
        version = imported(ana, team, tmp_path, ("a.txt", sample_text()), max_documents=7)

        assert version.counts["total"]["documents"] == 7


BAD = [
    ("a.txt", b"\n \n\n", "a.txt holds no documents"),
    ("a.txt", b"caf\xe9\n", "a.txt is not UTF-8: byte 0xe9 at offset 3 (line 1)"),
    ("a.txt", b"ok\n\nsecond \xff", "byte 0xff at offset 11 (line 3)"),
    ("a.txt", "hällo".encode("utf-16"), "a.txt is UTF-16, not UTF-8"),
    ("a.txt", b"\x7fELF\0\0\0", "a.txt is binary, not text: there is a NUL byte at offset 4"),
    ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl line 2: not valid JSON: Expecting value"),
    ("a.jsonl", b'{"text": "a"}\n["b"]\n', "a.jsonl line 2: not a JSON object"),
    ("a.jsonl", b'{"body": "a"}\n', "line 1: there is no field 'text'. Fields there: 'body'"),
    ("a.jsonl", b'{"text": 7}\n', "a.jsonl line 1: the field 'text' is not text but int"),
    ("a.jsonl", b'{"text": "\\ud800"}\n', "a.jsonl line 1: the text holds half of a surrogate"),
    ("a.jsonl", b'{"text": "a\\u0000"}\n', "a.jsonl line 1: the text holds a NUL character"),
    ("a.jsonl", b'{"messages": [{"role": "x"}]}\n', "a.jsonl line 1: every message needs a role"),
    ("a.jsonl", b"[" * 100_000 + b"\n", "a.jsonl line 1: nested too deeply"),
    ("a.csv", b"id,text\n", "a.csv holds no documents"),
    ("a.csv", b"id,body\n1,a\n", "a.csv: there is no field 'text'. Fields there: 'id', 'body'"),
    ("a.csv", b'id,text\n1,"a\nb"\n2,c,d\n', "a.csv line 4: 3 values where the header has 2"),
    ("a.csv", b'id,text\n1,"open\n', "not valid CSV"),
    ("a.parquet", b"PAR1 nonsense PAR1", "a.parquet: not a readable Parquet file"),
    ("a.parquet", table([]), "a.parquet"),
    ("a.txt.gz", gzip.compress(b"hello\n\n" * 999, mtime=0)[:-9], "the gzip packing is broken"),
    ("a.txt.gz", b"not gzip at all", "a.txt.gz: the gzip packing is broken"),
    ("a.txt.zst", zstandard.compress(b"hello\n\n" * 999)[:-3], "Zstandard packing is broken"),
    ("a.txt.gz", gzip.compress(b"x" * (32 << 20) + b"\n" + b"y" * (90 << 20), mtime=0), "a.txt.gz"),
    ("a.txt", b"only one document", "only one document"),
]  # fmt: skip


class TestBadInput:
    @pytest.mark.parametrize(("name", "data", "message"), BAD)
    def test_fails_with_file_and_line(self, ana, team, tmp_path, name, data, message):
        version = imported(ana, team, tmp_path, (name, data))

        job = version.produced_by
        job.refresh_from_db()
        assert (job.state, job.reason_code) == ("failed", "config_invalid")
        assert message in version.error
        assert version.state == "failed"
        assert (version.manifest, version.digest, version.counts) == ({}, "", {})

    def test_stops_at_the_limit_of_unpacked_text(self, ana, team, tmp_path, settings):
        settings.IMPORT_LIMIT_MIB = 1
        data = gzip.compress(b"some words in a line\n" * 100_000)

        version = imported(ana, team, tmp_path, ("a.txt.gz", data))

        assert "unpack to more than 1 MiB" in version.error


class TestEnd:
    def test_stays_pending_while_another_attempt_follows(self, ana, team):
        version = pending_version(ana, team, stored("a.txt", sample_text()))
        held = job_claim(worker="w", node="n", job_id=placed(version.produced_by, "n").pk)

        job = job_fail(job=held, code="node_lost", message="gone", permanent=False, attempt={})

        version.refresh_from_db()
        assert (job.state, version.state) == ("pending", "pending")

    def test_fails_when_cancelled_before_it_ran(self, ana, team):
        version = pending_version(ana, team, stored("a.txt", sample_text()))

        job_cancel(actor=ana, job=version.produced_by)

        version.refresh_from_db()
        assert version.state == "failed"
        assert "Cancelled" in version.error

    def test_can_be_imported_again_with_another_field(self, ana, team, tmp_path):
        first = imported(ana, team, tmp_path, ("a.jsonl", b'{"body": "a"}\n{"body": "b"}\n'))

        second = version_reimport(
            actor=ana, version=first, options=ImportOptions(text_field="body")
        )
        run_job(second.produced_by, tmp_path)

        second.refresh_from_db()
        assert (first.state, second.state) == ("failed", "ready")


class TestPath:
    def test_reads_a_directory_and_records_digests(self, ana, team, tmp_path, settings):
        settings.IMPORT_DIR = tmp_path / "import"
        (settings.IMPORT_DIR / "books" / "deep").mkdir(parents=True)
        (settings.IMPORT_DIR / "books" / "b.txt").write_bytes(sample_text(5))
        (settings.IMPORT_DIR / "books" / "deep" / "a.txt").write_bytes(sample_text(8))
        dataset = dataset_create(actor=ana, team=team, name="books")

        version = version_import_path(actor=ana, dataset=dataset, path="books")
        run_job(version.produced_by, tmp_path)

        version.refresh_from_db()
        assert version.state == "ready", version.error
        assert [file["name"] for file in version.source["files"]] == ["b.txt", "deep/a.txt"]
        assert all(len(file["sha256"]) == 64 for file in version.source["files"])
        assert version.counts["total"]["documents"] == 13


class TestRows:
    def test_reads_a_window_of_a_split(self, ana, team, tmp_path):
        version = ready_version(ana, team, tmp_path)

        rows = version_rows(version=version, split="train", offset=3, limit=2)

        assert [row["index"] for row in rows] == [3, 4]
        assert rows[0]["text"] == documents(version, "train")[3]["text"]

"""The spool turns whatever a child writes into lines, metrics and events, once each."""

import json

import pytest

from models_app.jobs.logs import MAX_LINE
from workers.spool import Spool

pytestmark = pytest.mark.nodb


def event(kind, **fields):
    return json.dumps({"t": kind, **fields}).encode() + b"\n"


def log(text, level="info"):
    return event("log", at="2026-01-01T00:00:00.000Z", stream="job", level=level, text=text)


@pytest.fixture
def spool(tmp_path):
    return Spool(tmp_path / "events.jsonl")


def texts(batch):
    return [line[3] for line in batch.lines]


class TestSpool:
    def test_is_empty_before_the_child_has_written(self, spool):
        assert not spool.read()

    def test_sorts_events_and_plain_output(self, spool):
        spool.path.write_bytes(
            log("a")
            + b"from C\n"
            + event("metric", at="t", step=3, values={"loss": 1.5})
            + event("progress", percent=10, stage=None)
            + event("result", value={"x": 1})
        )
        batch = spool.read()

        assert texts(batch) == ["a", "from C"]
        assert batch.lines[1][1:3] == ("stderr", "warning")
        assert batch.metrics == [("loss", 3, 1.5, "t")]
        assert batch.progress == {"percent": 10}
        assert batch.outcome == {"kind": "result", "value": {"x": 1}}

    def test_waits_for_the_end_of_a_line(self, spool):
        whole = log("unfinished")
        spool.path.write_bytes(whole[:-5])
        assert not spool.read()
        spool.path.write_bytes(whole)

        assert texts(spool.read()) == ["unfinished"]

    def test_takes_an_unfinished_line_at_the_end(self, spool):
        spool.path.write_bytes(b"Segmentation fau")

        assert texts(spool.read(final=True)) == ["Segmentation fau"]

    def test_goes_on_where_it_was_stored(self, spool):
        spool.path.write_bytes(log("a"))
        first = spool.read()
        again = spool.read()
        spool.done(first)
        spool.path.write_bytes(log("a") + log("b"))

        assert texts(first) == texts(again) == ["a"]
        assert texts(spool.read()) == ["b"]

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("a\x00b", ["a\u2400b"]),
            ("10%\r50%\r100%", ["100%"]),
            ("one\ntwo\r\nthree", ["one", "two", "three"]),
            ("x" * (MAX_LINE + 1), ["x" * MAX_LINE, "x"]),
            ("\ud800", ["?"]),
        ],
    )
    def test_makes_every_text_storable(self, spool, text, shown):
        spool.path.write_bytes(log(text))

        assert texts(spool.read()) == shown

    def test_survives_bytes_that_are_no_text_and_broken_events(self, spool):
        spool.path.write_bytes(b'\xff\xfe\n{"t":"log", broken\n[1,2]\n')

        assert len(spool.read().lines) == 3

    def test_a_line_of_ten_megabytes_is_cut(self, spool):
        spool.path.write_bytes(b"y" * 10_000_000 + b"\nend\n")
        seen = []
        while batch := spool.read(final=True):
            seen += texts(batch)
            spool.done(batch)

        assert sum(map(len, seen)) == 10_000_000 + 3
        assert max(map(len, seen)) == MAX_LINE

"""The spool turns whatever a child writes into lines, metrics and events, once each."""

import json

import pytest

from models_app.jobs.logs import MAX_LINE
from workers.spool import MAX_LINES, Spool

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
        seen = everything(spool)

        assert sum(map(len, seen)) == 10_000_000 + 3
        assert max(map(len, seen)) == MAX_LINE

    def test_a_long_text_is_cut_between_characters(self, spool):
        spool.path.write_bytes(("x" + "词" * 1_500_000).encode())

        assert "".join(everything(spool)) == "x" + "词" * 1_500_000

    def test_a_large_event_is_read_whole(self, spool):
        spool.path.write_bytes(log("a") + event("result", value={"x": "y" * 5_000_000}) + log("b"))
        seen, outcome = [], None
        more = True
        while more:
            batch = spool.read()
            seen += texts(batch)
            outcome = batch.outcome or outcome
            more = batch.more
            spool.done(batch)

        assert seen == ["a", "b"]
        assert len(outcome["value"]["x"]) == 5_000_000

    def test_many_lines_come_in_bounded_batches_once_each(self, spool):
        lines = 200_000
        with spool.path.open("wb") as file:
            for start in range(0, lines, 10_000):
                file.write(b"".join(b"%d\n" % n for n in range(start, start + 10_000)))
        largest, expected = 0, 0
        while batch := spool.read():
            largest = max(largest, len(batch.lines))
            assert texts(batch) == [str(n) for n in range(expected, expected + len(batch.lines))]
            expected += len(batch.lines)
            spool.done(batch)

        assert (expected, largest <= MAX_LINES) == (lines, True)

    @pytest.mark.parametrize(
        "row",
        [
            b'{"t":"log"}',
            b'{"t":"log","at":5,"stream":"job","level":"info","text":"x"}',
            b'{"t":"log","at":"2026-01-01T00:00:00.000Z","stream":"job","level":"info","text":7}',
            b'{"t":"metric","at":"t","step":"x","values":{}}',
            b'{"t":"metric","at":"t","step":1,"values":{"loss":"high"}}',
            b'{"t":"log"},{"t":"log"}',
            b'{"t":["log"]',
        ],
    )
    def test_an_event_that_is_none_is_kept_as_text(self, spool, row):
        spool.path.write_bytes(log("before") + row + b"\n" + log("after"))

        assert texts(spool.read()) == ["before", row.decode(), "after"]

    def test_strange_times_and_levels_do_not_come_through(self, spool):
        spool.path.write_bytes(
            event("log", at="yesterday, or so\n....", stream="s" * 99, level="<b>", text="x")
        )
        ((at, stream, level, text),) = spool.read().lines

        assert at.startswith("20") and len(at) == 24
        assert (stream, level, text) == ("s" * 20, "info", "x")

    def test_unusual_line_breaks_stay_inside_their_line(self, spool):
        spool.path.write_bytes(log("a\u2028b\u0085c\x0bd"))

        assert texts(spool.read()) == ["a\u2028b\u0085c\x0bd"]


def everything(spool):
    seen = []
    while batch := spool.read(final=True):
        seen += texts(batch)
        spool.done(batch)
    return seen

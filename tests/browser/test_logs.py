"""The log of a real job in a real browser: live frames, strange text, gaps, search in the whole."""

import time

import pytest
from playwright.sync_api import expect

from models_app.jobs import logs
from models_app.jobs.log_chunks import pack
from models_app.jobs.models import Job, LogChunk
from tests.factories.logs import AT, end, held_job, lines
from tests.waiting import WAIT_S
from workers.events import parts


@pytest.fixture
def job(transactional_db, team):
    return held_job(team)


@pytest.fixture
def as_ana(page, sign_in, ana):
    return sign_in(page, ana)


def write(job, *texts, stream="job", level="info"):
    said = [(AT, stream, level, part) for text in texts for part in parts(text)]
    seq = logs.log_append(job=job, lines=said)
    logs.log_bell(job_id=job.pk, log_seq=seq)
    return seq


def shown(page) -> list[int]:
    return page.evaluate(
        "[...document.querySelectorAll('.log-line')].map((l) => Number(l.id.slice(1)))"
    )


def view(page, word: str) -> None:
    """Wait until the pane says so of itself. (The page's policy forbids what polls inside it.)"""
    deadline = time.monotonic() + WAIT_S
    while not page.evaluate(f"document.querySelector('[data-logview]').logView.{word}"):
        assert time.monotonic() < deadline, f"the pane is not {word}"
        page.wait_for_timeout(50)


def live(page) -> None:
    expect(page.locator("#live")).to_have_attribute("data-state", "live")
    view(page, "streaming")


class TestFrames:
    def test_lines_come_by_the_socket_and_nothing_is_fetched(self, as_ana, job) -> None:
        write(job, "first")
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        fetched = []
        as_ana.on("request", lambda r: fetched.append(r.url) if "log.json" in r.url else None)

        for start in range(0, 6000, 500):
            write(job, *(f"line {n}" for n in range(start, start + 500)))

        expect(as_ana.locator("#L6001")).to_be_in_viewport()
        assert shown(as_ana) == list(range(1, 6002))
        assert as_ana.locator(".log-gap").count() == 0
        assert fetched == []

    def test_a_broken_socket_goes_on_where_it_was(self, as_ana, job) -> None:
        as_ana.context.add_init_script(
            "window.sockets = []; const Real = WebSocket; window.WebSocket = class extends Real {"
            "constructor(...a) { super(...a); window.sockets.push(this); } };"
        )
        write(job, *"abc")
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        as_ana.evaluate("window.sockets.at(-1).close()")
        write(job, *"def")
        live(as_ana)
        write(job, *"ghi")

        expect(as_ana.locator("#L9")).to_be_attached()
        assert shown(as_ana) == list(range(1, 10))

    def test_a_lost_frame_is_fetched_by_number(self, as_ana, job) -> None:
        write(job, *"abc")
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        as_ana.evaluate(
            """() => { const view = document.querySelector('[data-logview]').logView;
              const hear = view.hear.bind(view); let lost = 0;
              view.hear = (frame, type) => { if (lost++) hear(frame, type); }; }"""
        )
        write(job, "lost on its way")
        as_ana.wait_for_timeout(500)
        write(job, "next")

        expect(as_ana.locator("#L5")).to_be_attached()
        assert shown(as_ana) == [1, 2, 3, 4, 5]

    def test_an_ended_job_is_said_to_be_over(self, as_ana, job) -> None:
        write(job, "a")
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        end(job)
        logs.log_bell(job_id=job.pk, log_seq=1)

        view(as_ana, "closed")

    def test_a_flood_keeps_the_page_alive(self, as_ana, job) -> None:
        write(job, "start")
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        for _ in range(15):
            write(job, *["step 1 loss 2.1 " * 4] * 2000)
            as_ana.wait_for_timeout(100)

        # `expect` describes the whole page at each look, which keeps this one from its work.
        as_ana.until("document.getElementById('L30001')")
        seqs = shown(as_ana)
        assert len(seqs) <= 21_000
        assert seqs == list(range(seqs[0], 30_002))


STRANGE = [
    "\x1b]8;;javascript:alert(1)\x1b\\click\x1b]8;;\x1b\\ me",
    "\x1b]8;;https://evil.example/\x07here\x1b]8;;\x07",
    "\x1b[2J\x1b[10;10Hmoved \x1b[1Aup\x1b[K",
    "\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x07quiet\x07",
    "\x1b[31mred, and cut off \x1b[",
    "after the cut",
    "<img src=x onerror=alert(1)><script>alert(2)</script></pre>",
    "a\u2028b\u2029c",
    "nul \x00 here",
    "10%\r50%\r100%",
    "\x9b31mC1\x1bPq#0\x1b\\end",
]
PLAIN = [
    "click me", "here", "moved up", "quiet", "red, and cut off ", "after the cut",
    "<img src=x onerror=alert(1)><script>alert(2)</script></pre>", "a\u2028b\u2029c",
    "nul \u2400 here", "100%", "31mC1end",
]  # fmt: skip


class TestStrangeText:
    @pytest.mark.parametrize("when", ["rendered", "live"])
    def test_is_shown_as_text_and_does_nothing(self, as_ana, job, when) -> None:
        dialogs = []
        as_ana.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        write(job, "start")
        if when == "rendered":
            write(job, *STRANGE)
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        title = as_ana.title()
        if when == "live":
            write(job, *STRANGE)
        expect(as_ana.locator(f"#L{len(STRANGE) + 1}")).to_be_attached()

        texts = as_ana.evaluate(
            "[...document.querySelectorAll('.log-line > span')].map((s) => s.textContent)"
        )
        assert texts == ["start", *PLAIN]
        assert as_ana.locator(".log-line > span a, .log-line img, .log-line script").count() == 0
        assert as_ana.locator("#L6 .ansi-red-fg").count() == 1
        assert as_ana.locator("#L7 [class*=ansi]").count() == 0
        assert (dialogs, as_ana.title()) == ([], title)

    def test_a_line_of_ten_megabytes_leaves_the_page_alive(self, as_ana, job) -> None:
        write(job, "start")
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        count = write(job, "y" * 10_000_000, "end")

        expect(as_ana.locator(f"#L{count} > span")).to_have_text("end")

    def test_a_gap_stands_out_in_the_pane_and_the_download(self, as_ana, job) -> None:
        write(job, "before")
        write(job, "Lines may be missing here.", stream="gap", level="warning")
        as_ana.open(f"/jobs/{job.pk}/")
        live(as_ana)
        write(job, "Lines are late.", stream="gap", level="warning")

        expect(as_ana.locator("#L3")).to_have_class("log-line lv-warning is-gap")
        expect(as_ana.locator("#L2")).to_have_class("log-line lv-warning is-gap")
        text = as_ana.request.get(f"{as_ana.url}/jobs/{job.pk}/log.txt").text()
        assert "[gap] Lines may be missing here." in text


class TestSearch:
    @pytest.fixture
    def long_job(self, job):
        """A hundred thousand lines; the pane shows the last four hundred of them."""
        for start in range(1, 100_001, 5000):
            texts = [f"step {n} loss" for n in range(start, start + 5000)]
            chunk = pack(lines(*texts))
            LogChunk.objects.create(
                job=job, epoch=1, first_seq=start, last_seq=start + 4999, body=chunk.body,
                size=chunk.size, levels=chunk.levels, grams=chunk.grams,
            )  # fmt: skip
        Job.objects.filter(pk=job.pk).update(log_seq=100_000)
        write(job, "\x1b[31mThe needle\x1b[0m", level="error")
        return job

    def test_finds_lines_far_from_the_page_and_jumps_to_them(self, as_ana, long_job) -> None:
        as_ana.open(f"/jobs/{long_job.pk}/")
        as_ana.locator("[data-page-search]").fill("step 777 ")

        expect(as_ana.locator(".log-results-status")).to_have_text("1 line found")
        expect(as_ana.locator(".log-hit")).to_have_text("777step 777 loss")
        as_ana.locator(".log-hit").click()
        expect(as_ana.locator("#L777")).to_be_in_viewport()
        expect(as_ana.locator("#L777")).to_have_class("log-line lv-info is-marked")

    def test_patterns_case_and_level_are_minded(self, as_ana, long_job) -> None:
        as_ana.open(f"/jobs/{long_job.pk}/")
        field, status = as_ana.locator("[data-page-search]"), as_ana.locator(".log-results-status")
        field.fill("the NEEDLE")
        expect(as_ana.locator(".log-hit span")).to_have_text("The needle")
        as_ana.locator("[data-log-case]").click()
        expect(status).to_have_text("No line matches")
        as_ana.locator("[data-log-case]").click()
        as_ana.locator("[data-log-regex]").click()
        field.fill("^step 9999[0-4] ")
        expect(status).to_have_text("5 lines found")
        expect(as_ana.locator(".log-hits")).to_have_text("")
        as_ana.locator("[data-log-level]").select_option("error")
        expect(status).to_have_text("No line matches")
        as_ana.expected.append("422")
        field.fill("((")
        expect(status).to_contain_text("regular expression")
        expect(field).to_have_attribute("aria-invalid", "true")

    def test_many_hits_come_in_parts(self, as_ana, long_job) -> None:
        as_ana.open(f"/jobs/{long_job.pk}/")
        as_ana.locator("[data-page-search]").fill("loss")

        expect(as_ana.locator(".log-hit")).to_have_count(500)
        expect(as_ana.locator(".log-results-status")).to_contain_text("% of the log searched")
        as_ana.locator(".log-results-more").click()
        expect(as_ana.locator(".log-hit")).to_have_count(1000)
        as_ana.locator(".log-results-close").click()
        expect(as_ana.locator(".log-results")).to_be_hidden()

"""Lines of a log over the socket: each once, in order, to everybody, however slow."""

import asyncio
import json
from collections import defaultdict

import pytest
from channels.db import database_sync_to_async

from console.access.models import Membership
from console.live import consumers, hub, log_frames
from models_app.jobs import logs
from models_app.jobs.log_compaction import log_compact
from models_app.jobs.models import Job, LogChunk
from tests.console.live.test_live_consumer import fresh_layer, page_of, person
from tests.factories.logs import end, held_job, lines
from tests.waiting import WAIT_S

__all__ = ["fresh_layer"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def job(team):
    return held_job(team)


@pytest.fixture
def ana(team):
    return person("ana", team, "admin")


def write(job, *texts, bell=True):
    seq = logs.log_append(job=job, lines=lines(*texts))
    if bell:
        logs.log_bell(job_id=job.pk, log_seq=seq)


append = database_sync_to_async(write)


class Reader:
    """What a page does: takes frames as they follow each other, and nothing else."""

    def __init__(self, after: int = 0) -> None:
        self.seqs: list[int] = []
        self.texts: list[str] = []
        self.last = after
        self.closed = False

    def take(self, message: dict) -> None:
        assert message["type"] == "log.lines", message
        data = message["data"]
        assert data["first"] == self.last + 1 or data.get("kept") == data["first"]
        assert [line[0] for line in data["lines"]] == list(range(data["first"], data["last"] + 1))
        self.last = data["last"]
        self.closed = data["closed"]
        self.seqs += [line[0] for line in data["lines"]]
        self.texts += [line[5] for line in data["lines"]]

    async def until(self, page, last: int, *, closed: bool = False) -> None:
        async with asyncio.timeout(WAIT_S):
            while self.last < last or (closed and not self.closed):
                self.take(await page.hear())


async def watching(user, job, after=0):
    page = await page_of(user)
    await page.send_text(json.dumps({"sub": f"job.{job.pk}.log", "after": after}))
    assert (await page.hear())["type"] == "subscribed"
    return page


class TestStream:
    async def test_brings_what_was_there_and_what_comes(self, ana, job) -> None:
        await append(job, "a", "b")
        page, reader = await watching(ana, job), Reader()
        await append(job, "c")
        await reader.until(page, 3)
        await append(job, *(str(n) for n in range(5000)))
        await reader.until(page, 5003)

        assert reader.texts == ["a", "b", "c", *(str(n) for n in range(5000))]
        await page.disconnect()

    async def test_begins_after_the_number_that_was_asked_for(self, ana, job) -> None:
        await append(job, *"abcdef")
        page, reader = await watching(ana, job, after=4), Reader(4)
        await reader.until(page, 6)

        assert reader.texts == ["e", "f"]
        await page.disconnect()

    async def test_a_lost_bell_costs_a_poll_and_no_line(self, ana, job, monkeypatch) -> None:
        monkeypatch.setattr(hub, "POLL_S", 0.1)
        page, reader = await watching(ana, job), Reader()
        await append(job, "a", bell=False)
        await reader.until(page, 1)

        assert reader.texts == ["a"]
        await page.disconnect()

    async def test_says_when_the_log_is_closed(self, ana, job, monkeypatch) -> None:
        monkeypatch.setattr(hub, "POLL_S", 0.1)
        await append(job, "a")
        early, first = await watching(ana, job), Reader()
        await first.until(early, 1)
        await database_sync_to_async(end)(job)
        await first.until(early, 1, closed=True)
        late, second = await watching(ana, job), Reader()
        await second.until(late, 1, closed=True)

        assert first.texts == second.texts == ["a"]
        await early.disconnect()
        await late.disconnect()

    async def test_one_read_and_one_frame_serve_all(self, ana, job, monkeypatch) -> None:
        reads = defaultdict(int)
        original = log_frames.reading

        def counted(job_id, after, upto=None):
            reads[after] += 1
            return original(job_id, after, upto)

        monkeypatch.setattr(log_frames, "reading", counted)
        pages = [await watching(ana, job) for _ in range(5)]
        await append(job, "a")
        readers = [Reader() for _ in pages]
        for page, reader in zip(pages, readers, strict=True):
            await reader.until(page, 1)
        reads.clear()
        await append(job, "b")
        for page, reader in zip(pages, readers, strict=True):
            await reader.until(page, 2)

        assert reads[1] <= 2  # the one that found it, perhaps one before
        for page in pages:
            await page.disconnect()

    async def test_lines_are_the_same_while_chunks_are_joined(self, ana, job) -> None:
        page, reader = await watching(ana, job), Reader()
        for number in range(30):
            await append(job, f"line {number}")
            if number % 10 == 5:
                await database_sync_to_async(log_compact)(job_id=job.pk)
        await reader.until(page, 30)

        assert reader.texts == [f"line {n}" for n in range(30)]
        await page.disconnect()

    async def test_dropped_lines_are_passed_over_openly(self, ana, job) -> None:
        await append(job, *"abc")
        await database_sync_to_async(LogChunk.objects.all().delete)()
        await append(job, *"de")
        await database_sync_to_async(Job.objects.filter(pk=job.pk).update)(log_first=4)
        page, reader = await watching(ana, job), Reader()
        await reader.until(page, 5)

        assert reader.texts == ["d", "e"]
        await page.disconnect()

    async def test_a_page_that_has_seen_more_than_the_store_waits(self, ana, job) -> None:
        await append(job, "a")
        page, reader = await watching(ana, job, after=3), Reader(3)
        await append(job, *"bcde")
        await reader.until(page, 5)

        assert reader.texts == ["d", "e"]
        await page.disconnect()

    async def test_nothing_is_left_when_nobody_watches(self, ana, job) -> None:
        await append(job, "a")
        page = await watching(ana, job)
        await Reader().until(page, 1)
        assert job.pk in hub._hubs[asyncio.get_running_loop()]
        await page.disconnect()

        assert job.pk not in hub._hubs[asyncio.get_running_loop()]

    async def test_asking_again_begins_at_the_new_number(self, ana, job) -> None:
        await append(job, *"abcd")
        page, reader = await watching(ana, job), Reader()
        await reader.until(page, 4)
        await page.send_text(json.dumps({"sub": f"job.{job.pk}.log", "after": 2}))
        assert (await page.hear())["type"] == "subscribed"
        again = Reader(2)
        await again.until(page, 4)

        assert again.texts == ["c", "d"]
        await page.disconnect()


class TestRights:
    async def test_an_outsider_is_refused(self, job) -> None:
        page = await page_of(await database_sync_to_async(person)("cai"))
        for topic in (f"job.{job.pk}.log", "job.99999999.log", "job.0.log", "dataset.1.log"):
            await page.send_text(json.dumps({"sub": topic, "after": 0}))
            assert (await page.hear())["type"] == "refused"
        await page.disconnect()

    @pytest.mark.parametrize("after", [-1, 1.5, "7", True, 1 << 70, [1], {"a": 1}])
    async def test_a_number_that_is_none_ends_the_socket(self, ana, job, after) -> None:
        page = await page_of(ana)
        await page.send_text(json.dumps({"sub": f"job.{job.pk}.log", "after": after}))

        assert await page.close_code() == consumers.NOT_OUR_PROTOCOL

    async def test_a_removed_member_gets_no_more_lines(self, ana, job, monkeypatch) -> None:
        page, reader = await watching(ana, job), Reader()
        await append(job, "a")
        await reader.until(page, 1)
        monkeypatch.setattr(consumers.LiveConsumer, "recheck_s", 0.0)
        await database_sync_to_async(Membership.objects.all().delete)()
        await append(job, "secret")

        assert (await page.hear())["type"] == "unsubscribed"
        assert await page.receive_nothing(0.3)
        await page.disconnect()


class TestSlowSocket:
    async def test_is_taken_off_the_shared_frames_and_misses_nothing(
        self, job, monkeypatch
    ) -> None:
        monkeypatch.setattr(hub, "COALESCE_S", 0.0)
        monkeypatch.setattr(log_frames, "FRAME_LINES", 10)
        gate, reader, fast = asyncio.Event(), Reader(), Reader()
        most = 0

        async def slow_send(text: str) -> None:
            nonlocal most
            await gate.wait()
            reader.take(json.loads(text))

        async def fast_send(text: str) -> None:
            fast.take(json.loads(text))

        async def allowed() -> bool:
            return True

        slow = hub.Viewer(hub.hub_of(job.pk), 0, slow_send, allowed)
        other = hub.Viewer(hub.hub_of(job.pk), 0, fast_send, allowed)
        tasks = [asyncio.create_task(viewer.run()) for viewer in (slow, other)]
        for start in range(0, 3000, 100):
            await append(job, *(str(n) for n in range(start, start + 100)))
            most = max(most, len(slow._queue))
        async with asyncio.timeout(WAIT_S):
            while fast.last < 3000:
                await asyncio.sleep(0.01)
        assert reader.last == 0
        assert most <= hub.IN_FLIGHT
        gate.set()
        async with asyncio.timeout(WAIT_S):
            while reader.last < 3000:
                await asyncio.sleep(0.01)
        await append(job, "after")
        async with asyncio.timeout(WAIT_S):
            while reader.last < 3001:
                await asyncio.sleep(0.01)

        assert reader.texts == [*fast.texts[:3000], "after"]
        assert reader.texts[:3000] == [str(n) for n in range(3000)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

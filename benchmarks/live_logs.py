"""A hundred viewers of one job's log on one web process: delivered, gaps, latency, CPU.

    python manage.py services --temporary -- python benchmarks/live_logs.py

A producer writes a spool as a job does and ships it as a worker does; viewers are real sockets.
Latency is counted from the line's write into the spool ("said") and from its commit ("stored").
Baseline of the same run: the lines themselves through the channel layer to the same consumers.
JSON lines; ends with 1 where a goal is missed.
"""

import argparse
import asyncio
import bisect
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from log_stage import cpu_s, database, event, held_job, quantile, say, session_key, web

HEAD = re.compile(rb'"first":(\d+),"last":(\d+)')
MARK = re.compile(rb"said (\d+\.\d+) ")
PAD = "step {n} loss 2.3145 lr 0.0003 tokens/s 51234 grad-norm 0.81 epoch 1.25 of 3"
SHIP_EVERY_S = 0.1
#: Viewers that take every frame apart; two cores are not enough for a hundred such.
CAREFUL = 3
WARM_S = 1.0


# ---- the producer: a child's writes and a worker's shipping, in a process of its own ------------


def write_lines(path: Path, rate: int, seconds: float) -> None:
    from models_app.core.clock import stamp

    begun, number, total = time.monotonic(), 0, int(rate * seconds)
    with path.open("ab", buffering=0) as spool:
        while number < total:
            due = min(total, int((time.monotonic() - begun) * rate))
            at, said = stamp(), f"said {time.time():.6f} "
            spool.write(b"".join(event(said + PAD.format(n=n), at) for n in range(number, due)))
            number = due
            time.sleep(0.005)


def produce(job_id: int, rate: int, seconds: float, way: str) -> None:
    """Prints `[last_seq, stored_at]` of every shipment as one JSON line at the end."""
    import django

    django.setup()
    from models_app.events.publish import publish_now
    from models_app.jobs.models import Job
    from workers.shipping import Shipper

    stored: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        shipper = Shipper(Job.objects.get(pk=job_id), Path(folder))
        writer = threading.Thread(
            target=write_lines, args=(shipper.spool.path, rate, seconds), daemon=True
        )
        writer.start()
        seq = 0
        while writer.is_alive() or shipper.spool.size() > shipper.spool.offset:
            begun = time.monotonic()
            if way == "hub":
                more = True
                while more:
                    more = shipper.ship()
                    at = time.time()
                    seq = Job.objects.values_list("log_seq", flat=True).get(pk=job_id)
                    stored.append((seq, at))
            else:
                batch = shipper.spool.read()
                shipper.spool.done(batch)
                lines = [[seq + n, *line] for n, line in enumerate(batch.lines, 1)]
                seq += len(lines)
                if lines:
                    data = {"first": lines[0][0], "last": seq, "lines": lines}
                    publish_now("log.lines", data, f"job.{job_id}")
                stored.append((seq, time.time()))
            time.sleep(max(0.0, SHIP_EVERY_S - (time.monotonic() - begun)))
    print(json.dumps(stored))


# ---- the viewers ---------------------------------------------------------------------------------


class Viewers:
    """Sockets that count what follows on what; a few also read it."""

    def __init__(self, port: int, session: str, job_id: int, way: str, count: int) -> None:
        self.url, self.way, self.job_id = f"http://127.0.0.1:{port}/ws/live/", way, job_id
        self.headers = {"Cookie": f"slipway={session}", "Origin": f"http://127.0.0.1:{port}"}
        self.last = [0] * count
        self.lines = [0] * count
        self.gaps = 0
        #: (last line of a frame, when it came, when that line was said)
        self.arrivals: list[tuple[int, float, float]] = []
        self.subscribed = 0
        self.texts: list[list[int]] = [[] for _ in range(CAREFUL)]

    async def watch(self, number: int, session: Any) -> None:
        topic = f"job.{self.job_id}"
        request = {"sub": topic} if self.way == "layer" else {"sub": f"{topic}.log", "after": 0}
        async with session.ws_connect(self.url, headers=self.headers, max_msg_size=0) as socket:
            await socket.send_str(json.dumps(request))
            async for message in socket:
                self.take(number, message.data)

    def take(self, number: int, text: str) -> None:
        now = time.time()
        data = text[:200].encode() if number >= CAREFUL else text.encode()
        found = HEAD.search(data)
        if found is None:
            self.subscribed += b'"subscribed"' in data
            return
        first, last = int(found[1]), int(found[2])
        self.gaps += first != self.last[number] + 1
        self.lines[number] += last - first + 1
        self.last[number] = last
        said = float(MARK.search(text[-250:].encode())[1])  # type: ignore[index]
        self.arrivals.append((last, now, said))
        if number < CAREFUL:
            lines = json.loads(text)["data"]["lines"]
            self.texts[number] += [int(line[-1].split()[3]) for line in lines]


async def measure(
    port: int, pid: int, session: str, job_id: int, way: str, count: int, rate: int, seconds: float
) -> dict[str, Any]:
    import aiohttp

    viewers = Viewers(port, session, job_id, way, count)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as client:
        tasks = [asyncio.create_task(viewers.watch(n, client)) for n in range(count)]
        while viewers.subscribed < count:
            await asyncio.sleep(0.05)
        await asyncio.sleep(WARM_S)
        cpu, begun = cpu_s(pid), time.monotonic()
        producer = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--produce", str(job_id), "--rate", str(rate),
            "--seconds", str(seconds), "--way", way, stdout=subprocess.PIPE,
        )  # fmt: skip
        out, _ = await producer.communicate()
        ended = time.monotonic()
        total, until = int(rate * seconds), ended + 30
        while min(viewers.last) < total and time.monotonic() < until:
            await asyncio.sleep(0.05)
        lasted, used = time.monotonic() - begun, cpu_s(pid) - cpu
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return result(viewers, json.loads(out), way, count, rate, total, used, lasted)


def result(
    viewers: Viewers, stored: list[Any], way: str, count: int, rate: int, total: int, used: float,
    lasted: float,
) -> dict[str, Any]:  # fmt: skip
    seqs = [seq for seq, _ in stored]

    def stored_at(seq: int) -> float:
        return float(stored[min(bisect.bisect_left(seqs, seq), len(stored) - 1)][1])

    said = [(came - at) * 1000 for _, came, at in viewers.arrivals]
    kept = [max(0.0, came - stored_at(seq)) * 1000 for seq, came, _ in viewers.arrivals]
    right = all(texts == list(range(total)) for texts in viewers.texts)
    return say(
        way=way,
        viewers=count,
        lines_per_second=rate,
        delivered_percent=round(100 * sum(viewers.lines) / (count * total), 2),
        gaps=viewers.gaps,
        texts_right=right,
        said_p50_ms=round(quantile(said, 0.5), 1),
        said_p99_ms=round(quantile(said, 0.99), 1),
        stored_p50_ms=round(quantile(kept, 0.5), 1),
        stored_p99_ms=round(quantile(kept, 0.99), 1),
        frames_per_viewer=round(len(viewers.arrivals) / count),
        web_cores=round(used / lasted, 3),
        web_cpu_s=round(used, 2),
        seconds=round(lasted, 1),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rates", default="5000,20000")
    parser.add_argument("--ways", default="hub,layer")
    parser.add_argument("--produce", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--way", default="hub", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.produce:
        produce(options.produce, options.rate, options.seconds, options.way)
        return 0
    met = True
    with database():
        held_job()
        session = session_key()
        for rate in map(int, options.rates.split(",")):
            found: dict[str, Any] = {}
            for way in options.ways.split(","):
                # A web process each: what one way has piled up must not weigh on the other.
                with web() as (port, pid):
                    latest = asyncio.run(
                        measure(
                            port, pid, session, held_job().pk, way, options.viewers, rate,
                            options.seconds,
                        )
                    )  # fmt: skip
                found = latest if way == "hub" else found
            whole = found["delivered_percent"] == 100 and not found["gaps"] and found["texts_right"]
            quick = rate > 5000 or (found["said_p99_ms"] <= 300 and found["web_cores"] <= 0.25)
            met = met and whole and quick
    say(metric="live_logs", goal="all, no gap; at 5000/s p99 <= 300 ms, <= 0.25 core", met=met)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())

"""A version pulled by the stock Hub client from the console, and from a plain static file server.

    python benchmarks/hub_pull.py [MIB] [ROUNDS]

The client (`snapshot_download`, one process for each pull, an empty cache) is the same on both
sides. The static server answers the client's questions with what the console answered, recorded,
and sends the files with sendfile. Rounds alternate. Afterwards four clients pull at once while a
page is asked for. JSON lines; goal: at least 0.7 of the static server's throughput.
"""

import contextlib
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil
from first_line import prepare
from running_stack import Stack, running_stack

FILES = 2
PULL = """
import sys, time
from huggingface_hub import snapshot_download
begun = time.perf_counter()
snapshot_download("bench/large", revision="v1", cache_dir=sys.argv[1])
print(time.perf_counter() - begun)
"""
STATIC = """
import json, sys
from pathlib import Path
from aiohttp import web

port, recorded, folder = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]

async def answer(request):
    if "/resolve/" in request.path:
        name = request.path.rsplit("/", 1)[1]
        about = recorded["files"][name]
        headers = {"X-Repo-Commit": recorded["commit"], "ETag": '"%s"' % about["sha256"]}
        return web.FileResponse(Path(folder, name), headers=headers)
    return web.json_response(recorded["answers"][request.path_qs])

app = web.Application()
app.router.add_get("/{path:.*}", answer)
web.run_app(app, host="127.0.0.1", port=port, print=None)
"""


def make_version(stack: Stack, team: str, mib: int) -> dict[str, dict[str, Any]]:
    """A ready version of `FILES` files of random bytes; its manifest."""
    from django.conf import settings

    from console.access.models import Team
    from models_app.core.blobs import tree_put
    from models_app.core.clock import now
    from models_app.core.digests import tree_digest
    from models_app.registry.models import Model, ModelVersion

    settings.DATA_DIR = stack.data_dir
    with tempfile.TemporaryDirectory(dir=stack.data_dir) as name:
        for number in range(FILES):
            with (Path(name) / f"model-{number + 1:05}-of-{FILES:05}.safetensors").open("wb") as f:
                for _ in range(mib // FILES):
                    f.write(secrets.token_bytes(1 << 20))
        (Path(name) / "config.json").write_text("{}")
        manifest = tree_put(Path(name))
    model = Model.objects.create(team=Team.objects.get(slug="bench"), name="large")
    ModelVersion.objects.create(
        model=model, number=1, state="ready", ready_at=now(), manifest=manifest,
        digest=tree_digest(manifest), size_bytes=sum(one["size"] for one in manifest.values()),
    )  # fmt: skip
    return manifest


def record(stack: Stack, token: str, manifest: dict[str, Any], folder: Path) -> Path:
    """What the console says to the client, and the files by name, for the static server."""
    from models_app.core.blobs import tree_materialise

    tree_materialise(manifest, folder / "files")
    answers: dict[str, Any] = {}

    def ask(path: str) -> Any:
        request = Request(f"{stack.url}/hf{path}", headers={"Authorization": f"Bearer {token}"})
        answers[path] = json.load(urlopen(request, timeout=30))
        return answers[path]

    commit = ask("/api/models/bench/large/revision/v1")["sha"]
    for query in ("?recursive=True&expand=False", "?recursive=true&expand=false", ""):
        ask(f"/api/models/bench/large/tree/{commit}{query}")
    path = folder / "recorded.json"
    path.write_text(json.dumps({"answers": answers, "commit": commit, "files": manifest}))
    return path


@contextlib.contextmanager
def static_server(port: int, recorded: Path, folder: Path) -> Iterator[psutil.Process]:
    process = subprocess.Popen(
        [sys.executable, "-c", STATIC, str(port), str(recorded), str(folder)]
    )
    try:
        while True:
            with (
                contextlib.suppress(OSError),
                urlopen(f"http://127.0.0.1:{port}/resolve/config.json"),
            ):
                break
            time.sleep(0.05)
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.wait()


def pull(endpoint: str, token: str, folder: Path) -> float:
    """Seconds that `snapshot_download` takes into an empty cache."""
    cache = Path(tempfile.mkdtemp(dir=folder))
    environment = {
        **os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": token, "HF_HOME": str(cache / "home"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_XET": "1",
    }  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, "-c", PULL, str(cache / "hub")],
            env=environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return float(done.stdout)
    finally:
        shutil.rmtree(cache)


def web_process(stack: Stack) -> psutil.Process:
    assert stack.process is not None
    for one in psutil.Process(stack.process.pid).children(recursive=True):
        if any("console.asgi" in word for word in one.cmdline()):
            return one
    raise SystemExit("There is no web process.")


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def page_ms(stack: Stack, seconds: float, until: threading.Event | None = None) -> list[float]:
    found = []
    end = time.monotonic() + seconds
    while time.monotonic() < end and not (until and until.is_set()):
        begun = time.perf_counter()
        with urlopen(f"{stack.url}/login/", timeout=30) as answer:
            answer.read()
        found.append((time.perf_counter() - begun) * 1000)
        time.sleep(0.02)
    return found


def p50(values: list[float]) -> float:
    return round(statistics.median(values), 1)


def p95(values: list[float]) -> float:
    return round(statistics.quantiles(values, n=20)[-1], 1)


def measure(stack: Stack, mib: int, rounds: int, folder: Path) -> bool:
    _session, token, team = prepare(stack)
    manifest = make_version(stack, team, mib)
    recorded = record(stack, token, manifest, folder)
    web, port = web_process(stack), Stack(folder).port
    ours, plain, cpu = [], [], []
    with static_server(port, recorded, folder / "files") as static:
        for _ in range(rounds):
            before = cpu_seconds(static)
            plain.append(pull(f"http://127.0.0.1:{port}", token, folder))
            middle, mine = cpu_seconds(static), cpu_seconds(web)
            ours.append(pull(f"{stack.url}/hf", token, folder))
            cpu.append((cpu_seconds(web) - mine, middle - before))
        rest, alone = web.memory_info().rss, page_ms(stack, 5)
        _, beside, _ = four_at_once(stack, web, f"http://127.0.0.1:{port}", token, folder)
    taken, during, peak = four_at_once(stack, web, f"{stack.url}/hf", token, folder)
    ratio = min(plain) / min(ours)
    print(json.dumps({
        "metric": "hub_pull", "mib": mib, "mib_per_s": round(mib / min(ours)),
        "baseline": "plain static file server", "baseline_mib_per_s": round(mib / min(plain)),
        "ratio": round(ratio, 3),
        "pairs": [round(b / a, 3) for a, b in zip(ours, plain, strict=True)],
        "cpu_s": round(min(a for a, _ in cpu), 2),
        "baseline_cpu_s": round(min(b for _, b in cpu), 2), "goal": 0.7,
    }))  # fmt: skip
    print(json.dumps({
        "metric": "hub_pull_four_at_once", "mib_per_s": round(4 * mib / taken),
        "web_rss_mib": round(rest / (1 << 20)), "web_rss_peak_mib": round(peak / (1 << 20)),
        "page_p50_ms": p50(during), "page_p95_ms": p95(during), "page_p95_alone_ms": p95(alone),
        "baseline": "the page while four clients pull from the static server",
        "baseline_p50_ms": p50(beside), "baseline_p95_ms": p95(beside),
        "ratio": round(p95(during) / p95(beside), 2),
    }))  # fmt: skip
    return ratio >= 0.7


def four_at_once(
    stack: Stack, web: psutil.Process, endpoint: str, token: str, folder: Path
) -> tuple[float, list[float], int]:
    """Seconds, milliseconds of a page meanwhile, and the web process's highest resident bytes."""
    done, pages, resident = threading.Event(), [], [0]

    def watch() -> None:
        while not done.wait(0.05):
            resident[0] = max(resident[0], web.memory_info().rss)

    watchers = [
        threading.Thread(target=lambda: pages.extend(page_ms(stack, 600, done))),
        threading.Thread(target=watch),
    ]
    pulls = [threading.Thread(target=pull, args=(endpoint, token, folder)) for _ in range(4)]
    begun = time.monotonic()
    for thread in (*watchers, *pulls):
        thread.start()
    for thread in pulls:
        thread.join()
    taken = time.monotonic() - begun
    done.set()
    for thread in watchers:
        thread.join()
    return taken, pages, resident[0]


def main() -> int:
    mib = int(sys.argv[1]) if len(sys.argv) > 1 else 1024
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with running_stack() as stack:
        folder = Path(tempfile.mkdtemp(dir=stack.data_dir))
        return 0 if measure(stack, mib, rounds, folder) else 1


if __name__ == "__main__":
    sys.exit(main())

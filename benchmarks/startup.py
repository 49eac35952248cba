"""How soon the first page answers, and what the web processes weigh at rest.

    python benchmarks/startup.py

Cold: an empty data directory (a database is made and migrated). Warm: the same directory again.
Baseline of the same run: uvicorn with an empty ASGI application, from start to first answer.
JSON lines; goals: warm start <= 4 s, all web processes <= 250 MB, web process alone <= 150 MiB RSS.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from running_stack import Stack, _free_port, running_stack

EMPTY = """
async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
"""


def baseline() -> float:
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "empty.py").write_text(EMPTY)
        begun = time.monotonic()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "uvicorn",
                "empty:application",
                "--port",
                str(port),
                "--log-level",
                "error",
            ],
            cwd=folder,
        )
        while True:
            try:
                with urlopen(f"http://127.0.0.1:{port}/", timeout=1):
                    break
            except OSError:
                time.sleep(0.01)
        seconds = time.monotonic() - begun
        process.terminate()
        process.wait()
    return seconds


def memory(stack: Stack) -> dict[str, dict[str, float]]:
    """PSS and RSS in MB of each Python process of the stack, by what it runs."""
    found: dict[str, dict[str, float]] = {}
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().decode().split("\0")
            environ = (status.parent / "environ").read_bytes().decode(errors="replace")
            rollup = (status.parent / "smaps_rollup").read_text()
        except OSError:
            continue
        if f"SLIPWAY_DATA_DIR={stack.data_dir}" not in environ:
            continue
        line = " ".join(words)
        name = next(
            (n for n in ("console.asgi", "console.gateway", "celery", "manage.py") if n in line), ""
        )
        if name == "celery":
            name = "beat" if " beat " in line else "worker"
        if not name:
            continue
        sizes = {row.split(":")[0]: int(row.split()[1]) / 1000 for row in rollup.splitlines()[1:]}
        found[name] = {"pss_mb": sizes["Pss"], "rss_mib": sizes["Rss"] / 1.048576}
    return found


def main() -> int:
    base = statistics.median(baseline() for _ in range(3))
    with running_stack(started=False) as stack:
        cold = stack.start()
        stack.wait_ready()
        stack.stop()
        warm = []
        for _ in range(3):
            warm.append(stack.start())
            stack.wait_ready()
            time.sleep(2)  # at rest
            sizes = memory(stack)
            stack.stop()
    median = statistics.median(warm)
    web = sum(part["pss_mb"] for name, part in sizes.items() if name.startswith("console"))
    rss = sizes["console.asgi"]["rss_mib"]
    print(
        json.dumps(
            {
                "metric": "cold_start_s",
                "value": round(cold, 2),
                "baseline": "empty uvicorn",
                "ratio": round(cold / base, 2),
            }
        )
    )
    print(
        json.dumps(
            {
                "metric": "warm_start_s",
                "value": round(median, 2),
                "goal": 4,
                "baseline": "empty uvicorn",
                "baseline_value": round(base, 2),
                "ratio": round(median / base, 2),
            }
        )
    )
    print(json.dumps({"metric": "web_pss_mb", "value": round(web, 1), "goal": 250}))
    print(json.dumps({"metric": "web_rss_mib", "value": round(rss, 1), "goal": 150}))
    print(
        json.dumps(
            {
                "metric": "processes",
                "value": {k: {a: round(b, 1) for a, b in v.items()} for k, v in sizes.items()},
            }
        )
    )
    return 0 if median <= 4 and web <= 250 and rss <= 150 else 1


if __name__ == "__main__":
    sys.exit(main())

"""Everything may be killed at any time: a training ends as if nothing had happened.

Minutes of training, hence not among the other tests: `make chaos-crashes` (CHAOS=full) kills every
kind of process and sends requests to a deployment while its replicas are killed, replaced and
brought back; CHAOS=short kills only a training's process and the database.
"""

import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from benchmarks.running_stack import running_stack
from tests.flows.site import TEAM, Site, until
from tests.flows.traffic import Traffic

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nodb,
    pytest.mark.skipif("CHAOS" not in os.environ, reason="takes minutes: run `make chaos-crashes`"),
]

FULL = os.environ.get("CHAOS") == "full"
KILLS = (
    ["child", "worker", "redis", "postgres", "web", "launcher"] if FULL else ["child", "postgres"]
)
STEPS, LOG_EVERY, CHECKPOINT_EVERY = (800, 10, 40) if FULL else (160, 10, 20)
CONFIG: dict[str, Any] = {
    "preset": "gpt2-1m", "tokenizer": "bpe", "vocab_size": 512, "sequence_length": 128,
    "batch_size": 8, "steps": STEPS, "warmup_steps": 20, "log_every": LOG_EVERY,
    "evaluate_every": 4 * CHECKPOINT_EVERY, "evaluation_batches": 4, "dropout": 0.1,
    "checkpoint_every": CHECKPOINT_EVERY, "threads": 1, "seed": 11,
}  # fmt: skip
LINES = 7


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """One stack for the module; whatever happens, nothing of it is left."""
    with running_stack(environment={"SLIPWAY_MEASURE_SPEED": "0"}) as stack:
        found = Site(stack)
        yield found
        stack.stop()
        assert found.left_over() == []


@pytest.fixture(scope="module")
def dataset(site) -> dict[str, Any]:
    row = site.dataset()
    site.api.post("models", {"team": TEAM, "name": "sailor"})
    return row


@pytest.fixture(scope="module")
def undisturbed(site, dataset) -> dict[str, Any]:
    """The version that the same training makes when nothing happens."""
    run = train(site, dataset)
    site.ended(run["job"])
    return dict(site.api.get(run["url"]))


def train(site: Site, dataset: dict[str, Any]) -> dict[str, Any]:
    body = {"team": TEAM, "model": "sailor", "dataset_version": dataset["id"], "config": CONFIG}
    return dict(site.api.post("training-runs", body))


def chatter(site: Site, steps: int) -> int:
    """A job that talks all the time, so that a lost or doubled line cannot hide."""
    params = {"steps": steps, "step_ms": 40, "lines_per_step": LINES, "checkpoint_every": 25}
    return int(site.api.post("jobs", {"team": TEAM, "kind": "self_test", "params": params})["id"])


def progress(site: Site, job_id: int) -> tuple[int, int]:
    """Step and newest checkpoint."""
    checkpoints = site.api.get(f"jobs/{job_id}/checkpoints")
    step = site.api.get(f"jobs/{job_id}")["step"] or 0
    return step, max((row["step"] for row in checkpoints), default=0)


def kill_and_wait(site: Site, name: str, job_id: int) -> float:
    """Seconds from the kill until the training is farther than it was."""
    _, saved = progress(site, job_id)
    until(lambda: progress(site, job_id)[1] > saved, f"a checkpoint before killing {name}")
    step, _ = progress(site, job_id)
    begun = time.monotonic()
    site.kill(name, job_id)
    until(lambda: progress(site, job_id)[0] > step, f"work after killing {name}")
    return time.monotonic() - begun


def check_log(lines: list[list[Any]]) -> None:
    """Numbers without a gap, and in each attempt what the job said, once and in order."""
    assert [line[0] for line in lines] == list(range(1, len(lines) + 1))
    said: dict[int, list[int]] = defaultdict(list)
    for _, _, epoch, stream, _, text in lines:
        words = text.split()
        if stream == "job" and words[0] == "step":
            said[epoch].append((int(words[1]) - 1) * LINES + int(words[3]))
    assert said
    for epoch, numbers in said.items():
        first = numbers[0]
        assert numbers == list(range(first, first + len(numbers))), f"attempt {epoch}"


def test_a_training_survives_the_death_of_everything(site, undisturbed, dataset, capsys):
    run = train(site, dataset)
    talker = chatter(site, 2500 if FULL else 300)
    took = {name: kill_and_wait(site, name, run["job"]) for name in KILLS}
    job = site.ended(run["job"])

    attempts = site.api.get(f"jobs/{job['id']}/attempts")
    version = site.api.get(run["url"])
    weights = version["manifest"]["model.safetensors"]["sha256"]
    assert weights == undisturbed["manifest"]["model.safetensors"]["sha256"]
    for attempt in attempts[:-1]:
        assert attempt["ended_at"] and attempt["reason_code"] and attempt["reason"], attempt
    assert [row["epoch"] for row in attempts] == list(range(1, len(attempts) + 1))
    points = site.api.get(f"jobs/{job['id']}/metrics", name="loss", max_points=5000)["points"]
    assert [step for step, _ in points] == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY))
    lines = site.lines(job["id"])
    assert [line[0] for line in lines] == list(range(1, job["log_seq"] + 1))

    site.ended(talker)
    spoken = site.lines(talker)
    check_log(spoken)
    worst = max(took, key=lambda name: took[name])
    with capsys.disabled():
        print(
            f"\nchaos: {len(took)} kills, {len(attempts)} attempts, "
            f"{len(lines) + len(spoken)} log lines each once, same weights; back at work after "
            + ", ".join(f"{name} {took[name]:.1f} s" for name in took)
            + f"; worst {took[worst]:.1f} s ({worst})"
        )


def revision(site: Site, deployment: dict[str, Any], version: dict[str, Any], slots: int) -> int:
    spec = {"replicas": 2, "threads": 1, "max_slots": slots}
    body = {"model_version": version["id"], "spec": spec, "reason": "flow"}
    return int(site.api.post(f"deployments/{deployment['id']}/revisions", body)["number"])


def serving(site: Site, deployment: dict[str, Any], number: int) -> None:
    """Wait until the revision is active with all of its replicas."""

    def ready() -> bool:
        state = site.api.get(f"deployments/{deployment['id']}/revisions/{number}")
        assert state["state"] != "failed", state["error"]
        return state["state"] == "active" and len(replicas(site, deployment, number)) == 2

    until(ready, f"revision {number} serves")


def replicas(site: Site, deployment: dict[str, Any], number: int) -> list[dict[str, Any]]:
    rows = site.api.get(f"deployments/{deployment['id']}/replicas")
    rows = rows["results"] if isinstance(rows, dict) else rows
    return [row for row in rows if row["revision"] == number and row["state"] == "ready"]


@pytest.mark.skipif(not FULL, reason="part of make chaos-crashes")
def test_a_deployment_answers_while_its_replicas_change(site, undisturbed, capsys):
    deployment = site.api.post(
        "deployments", {"team": TEAM, "name": "sailor", "environment": "development"}
    )
    first = revision(site, deployment, undisturbed, slots=16)
    serving(site, deployment, first)
    with Traffic(site.stack.url, site.token, deployment["model"]) as traffic:
        traffic.answered(20)
        victim = site.job_pid(replicas(site, deployment, first)[0]["job"])
        streams = traffic.open_streams(6)
        os.kill(victim, signal.SIGKILL)
        begun = time.monotonic()
        ends = [stream.result(60) for stream in streams]
        serving(site, deployment, first)
        healed = time.monotonic() - begun
        traffic.answered(20)
        second = revision(site, deployment, undisturbed, slots=12)
        serving(site, deployment, second)
        traffic.answered(20)
        begun = time.monotonic()
        site.api.post(f"deployments/{deployment['id']}/rollback", {"reason": "flow"})
        serving(site, deployment, first)
        back = time.monotonic() - begun
        traffic.answered(20)

    whole, begun_streams = traffic.whole, traffic.streams
    assert traffic.failed == []
    assert "broken without a word" not in ends
    held = ends.count("error")
    with capsys.disabled():
        print(
            f"\nchaos: {whole} answers and {begun_streams} streams, none failed before its first "
            f"byte; broken in flight: {traffic.broken - held} of the trickle, {held} of "
            f"{len(ends)} held open at the kill (each ended with an error); two replicas again "
            f"after {healed:.1f} s, rolled back in {back:.1f} s"
        )


def test_a_batch_answers_each_line_once_though_the_worker_is_killed_twice(
    site, undisturbed, capsys
):
    """With OpenAI's own client: a thousand lines, and `kill -9` of the worker service."""
    model = f"{TEAM}/sailor:v{undisturbed['number']}"
    body = {"model": model, "prompt": "the ", "max_tokens": 24, "temperature": 0}
    row = {"method": "POST", "url": "/v1/completions", "body": body}
    lines = [json.dumps({"custom_id": f"q-{n}", **row}).encode() for n in range(1000)]

    with openai.OpenAI(base_url=f"{site.stack.url}/v1", api_key=site.token, project=TEAM) as client:
        file = client.files.create(file=("asked.jsonl", b"\n".join(lines)), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/completions", completion_window="24h"
        )

        def answered() -> int:
            counts = client.batches.retrieve(batch.id).request_counts
            return counts.completed if counts else 0

        (job,) = site.api.get("jobs", kind="batch_infer")["results"]
        for kill in range(2):
            seen = answered()
            until(lambda seen=seen: seen < answered() < 1000, f"answers before kill {kill + 1}")
            site.kill("worker", job["id"])
        site.ended(job["id"])

        done = client.batches.retrieve(batch.id)
        assert (done.status, done.error_file_id) == ("completed", None)
        rows = client.files.content(done.output_file_id).text.splitlines()
    names = [json.loads(line)["custom_id"] for line in rows]
    assert names == [f"q-{n}" for n in range(1000)]
    attempts = site.api.get(f"jobs/{job['id']}/attempts")
    assert len(attempts) >= 3
    with capsys.disabled():
        print(f"\nchaos: {len(names)} answers, each once, in {len(attempts)} attempts")

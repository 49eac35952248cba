"""The steps of the demonstration, each idempotent: what an earlier run has made is found again."""

import hashlib
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from console.demo.client import Client
from console.demo.corpus import corpus
from console.demo.people import Person

DATASET = "python-stdlib"
MODEL = "stdlib-writer"
DEPLOYMENT = "stdlib-writer"
ENVIRONMENT = "production"
PROMPT = "def read_lines(path):\n    "
#: About three minutes. One thread: two on busy cores wait for each other more than they gain.
CONFIG: dict[str, Any] = {
    "preset": "llama-1m",
    "tokenizer": "bpe",
    "vocab_size": 2048,
    "sequence_length": 128,
    "batch_size": 16,
    "steps": 600,
    "learning_rate": 3e-3,
    "min_learning_rate": 3e-4,
    "warmup_steps": 30,
    "evaluate_every": 50,
    "evaluation_batches": 10,
    "checkpoint_every": 50,
    "log_every": 5,
    "threads": 1,
    "seed": 7,
}


class DemoFailed(Exception):
    """A step did not come to its good end."""


@dataclass
class Scenario:
    """Runs the steps; `facts` collects what the summary tells."""

    team: str
    builder: Person
    approver: Person
    base_url: str
    config: dict[str, Any] = field(default_factory=lambda: dict(CONFIG))
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ana = Client(self.base_url, self.builder.token)
        self.ben = Client(self.base_url, self.approver.token)

    def run(self) -> dict[str, Any]:
        """From data to an answer; returns the facts, or raises DemoFailed."""
        dataset = self.dataset_version()
        version = self.model_version(dataset)
        self.evaluate(version, dataset)
        deployment = self.deployment(version)
        self.answer(deployment)
        return self.facts

    def dataset_version(self) -> dict[str, Any]:
        """Gather the standard library's text, upload it, wait until it is imported."""
        step("1 data", "gathering the Python standard library's own sources and help texts")
        content, documents, size = corpus()
        dataset = self.ana.find("datasets", team=self.team, name=DATASET) or self.ana.post(
            "datasets",
            {"team": self.team, "name": DATASET, "description": "The Python standard library"},
        )
        path = f"datasets/{dataset['id']}/versions"
        digest = hashlib.sha256(content).hexdigest()
        for row in self.ana.get(path)["results"]:
            version = self.ana.get(f"dataset-versions/{row['id']}")
            if version["state"] == "ready" and version["source"]["files"][0]["sha256"] == digest:
                say(f"version {version['number']} holds exactly this already")
                return self._imported(version)
        say(f"uploading {documents} documents, {size / 1e6:.1f} MB of text")
        made = self.ana.upload(path, {"seed": 7}, "python-stdlib.jsonl.gz", content)
        self._job(made["job"])
        return self._imported(self.ana.get(f"dataset-versions/{made['id']}"))

    def _imported(self, version: dict[str, Any]) -> dict[str, Any]:
        self.facts["dataset"] = f"{DATASET} v{version['number']}, digest {version['digest'][:12]}"
        self.facts["dataset_url"] = f"/datasets/{self.team}/{DATASET}/"
        return version

    def model_version(self, dataset: dict[str, Any]) -> dict[str, Any]:
        """Train a small transformer from scratch, unless this was done with the same settings."""
        step(
            "2 train", f"a transformer of about a million parameters, {self.config['steps']} steps"
        )
        model = self.ana.find("models", team=self.team, name=MODEL) or self.ana.post(
            "models",
            {"team": self.team, "name": MODEL, "description": "Writes like the standard library"},
        )
        found = self._trained_before(model, dataset)
        if found is None:
            run = self.ana.post(
                "training-runs",
                {
                    "team": self.team,
                    "model": MODEL,
                    "dataset_version": dataset["id"],
                    "config": self.config,
                    "reason": "Demonstration",
                },
            )
            say(f"watch it: {self.base_url}/jobs/{run['job']}/")
            self._job(run["job"])
            found = self.ana.get(run["url"])
        else:
            say(f"version {found['number']} was trained on this data before")
        self._learned(found)
        return found

    def _trained_before(
        self, model: dict[str, Any], dataset: dict[str, Any]
    ) -> dict[str, Any] | None:
        rows = self.ana.get(f"models/{model['id']}/versions")["results"]
        return next(
            (
                row
                for row in rows
                if row["state"] == "ready" and row["dataset_version"] == dataset["id"]
            ),
            None,
        )

    def _learned(self, version: dict[str, Any]) -> None:
        metrics = version["metrics"]
        loss, baseline = metrics["validation_loss"], metrics["unigram_entropy"]
        self.facts["version"] = f"{MODEL} v{version['number']}, digest {version['digest'][:12]}"
        self.facts["version_url"] = f"/models/{self.team}/{MODEL}/versions/{version['number']}/"
        self.facts["loss"] = (
            f"validation loss {loss:.3f} nats a token, unigram entropy {baseline:.3f}: "
            f"{baseline - loss:.3f} below"
        )
        say(self.facts["loss"])
        if loss > baseline - 0.5:
            raise DemoFailed("The model has hardly learned: its loss is near the unigram entropy.")

    def evaluate(self, version: dict[str, Any], dataset: dict[str, Any]) -> None:
        """Perplexity and bits per byte on the documents it has not seen."""
        step("3 evaluate", "perplexity on the validation documents")
        found = self.ana.find("evaluations", version=version["id"])
        if found is None:
            made = self.ana.post(
                "evaluations",
                {"version": version["id"], "dataset_version": dataset["id"], "max_documents": 20},
            )
            self._job(made["job"])
            found = self.ana.find("evaluations", version=version["id"])
        metrics = found["metrics"]
        self.facts["evaluation"] = (
            f"perplexity {metrics['perplexity']:.1f}, {metrics['bits_per_byte']:.3f} bits a byte"
        )
        say(self.facts["evaluation"])

    def deployment(self, version: dict[str, Any]) -> dict[str, Any]:
        """Ana asks for production, Ben approves, the roll-out waits for a real token."""
        step("4 approve and deploy", f"into {ENVIRONMENT}, which needs another person's approval")
        deployment = self.ana.find("deployments", team=self.team, name=DEPLOYMENT) or self.ana.post(
            "deployments", {"team": self.team, "name": DEPLOYMENT, "environment": ENVIRONMENT}
        )
        path = f"deployments/{deployment['id']}"
        revision = self._revision(path, version)
        if revision["state"] == "pending_approval":
            self._approve(revision)
        self._serving(path, revision["number"])
        self.facts["deployment_url"] = f"/deployments/{self.team}/{DEPLOYMENT}/"
        return dict(deployment)

    def _revision(self, path: str, version: dict[str, Any]) -> dict[str, Any]:
        useful = {"active", "rolling_out", "approved", "pending_approval"}
        for row in self.ana.get(f"{path}/revisions")["results"]:
            if row["model_version"] == version["id"] and row["state"] in useful:
                say(f"revision {row['number']} is there already: {row['state']}")
                return dict(row)
        made = self.ana.post(
            f"{path}/revisions",
            {"model_version": version["id"], "reason": "First model of the demonstration"},
        )
        say(f"{self.builder.user.name} asked for revision {made['number']}, {made['digest'][:12]}")
        return dict(made)

    def _approve(self, revision: dict[str, Any]) -> None:
        request = self.ben.get(f"approvals/{revision['approval']}")
        vote = {"decision": "approve", "comment": "The loss is well below the baseline."}
        self.ben.post(f"approvals/{request['id']}/votes", vote)
        self.facts["approval"] = f"CR-{request['id']} by {self.approver.user.name}"
        self.facts["approval_url"] = f"/approvals/CR-{request['id']}/"
        say(f"{self.approver.user.name} approved CR-{request['id']}")

    def _serving(self, path: str, number: int) -> None:
        def done(row: dict[str, Any]) -> bool:
            revision = self.ana.get(f"{path}/revisions/{number}")
            if revision["state"] == "failed":
                raise DemoFailed(f"The roll-out failed: {revision['error']}")
            return bool(revision["state"] == "active" and row["ready_replicas"])

        row = self.ana.wait(path, done, tell=lambda row: None)
        self.facts["deployment"] = f"{row['model']}, revision {number}, {row['status']}"
        say(f"serving: {self.facts['deployment']}")

    def answer(self, deployment: dict[str, Any]) -> None:
        """Stream a completion through the stock `openai` client."""
        from openai import OpenAI

        step("5 answer", "through the stock openai client, streaming")
        client = OpenAI(base_url=f"{self.base_url}/v1", api_key=self.builder.token)
        started, first, text, tokens = time.perf_counter(), 0.0, "", 0
        stream = client.completions.create(
            model=deployment["model"],
            prompt=PROMPT,
            max_tokens=96,
            temperature=0.6,
            seed=1,
            stream=True,
            stream_options={"include_usage": True},
        )
        sys.stdout.write(f"\n{PROMPT}")
        for chunk in stream:
            if chunk.choices and chunk.choices[0].text:
                first = first or time.perf_counter() - started
                text += chunk.choices[0].text
                sys.stdout.write(chunk.choices[0].text)
                sys.stdout.flush()
            tokens = chunk.usage.completion_tokens if chunk.usage else tokens
        seconds = time.perf_counter() - started
        sys.stdout.write("\n\n")
        if not text.strip() or not tokens:
            raise DemoFailed("The model answered nothing.")
        self.facts["answer"] = (
            f"{tokens} tokens, first after {first * 1000:.0f} ms, "
            f"{tokens / seconds:.0f} tokens a second"
        )
        say(self.facts["answer"])

    def _job(self, job_id: int) -> dict[str, Any]:
        """Follow a job to its end, telling its progress."""
        told: list[Any] = [None]

        def tell(job: dict[str, Any]) -> None:
            now = (job["state"], job["stage"], int((job["percent"] or 0) // 10), job["epoch"])
            if now != told[0]:
                told[0] = now
                eta = f", {job['eta_s']:.0f} s left" if job["eta_s"] else ""
                percent = f" {job['percent']:.0f}%" if job["percent"] is not None else ""
                say(f"job {job_id}: {job['state']} {job['stage']}{percent}{eta}")

        over = {"succeeded", "failed", "canceled", "timed_out"}
        job = self.ana.wait(f"jobs/{job_id}", lambda job: job["state"] in over, tell=tell)
        if job["state"] != "succeeded":
            raise DemoFailed(f"Job {job_id} {job['state']}: {job['reason']}")
        return dict(job)


def step(name: str, text: str) -> None:
    """A heading on the terminal."""
    sys.stdout.write(f"\n\033[1m{name}\033[0m  {text}\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A line below the heading."""
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()

"""Trainings under way as their page and the alerts see them: a held job and its figures."""

import datetime as dt

from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.jobs.metrics import metrics_append_late
from models_app.jobs.models import Job, JobAttempt
from models_app.jobs.samples import samples_append_late
from tests.factories.jobs import claimed

EVERY = 10


def training(team, *, actor=SYSTEM, **fields) -> Job:
    """A job of the kind `train` that a worker holds since yesterday."""
    job = claimed(team, actor=actor, title="Train the poet")
    known = {"kind": "train", "stage": "training", "step": 300, "total_steps": 1000, "percent": 30}
    Job.objects.filter(pk=job.pk).update(**{**known, "progress_at": now(), **fields})
    JobAttempt.objects.filter(job=job).update(started_at=now() - dt.timedelta(days=1))
    job.refresh_from_db()
    return job


def told(job, name, values, *, first=EVERY, every=EVERY, pause=1.0, ago=0.0) -> None:
    """Points of a metric, `pause` seconds apart, the last of them `ago` seconds ago."""
    values, end = list(values), now() - dt.timedelta(seconds=ago)
    points = []
    for place, value in enumerate(values):
        at = end - dt.timedelta(seconds=pause * (len(values) - 1 - place))
        points.append((name, first + every * place, float(value), at.isoformat()))
    metrics_append_late(job_id=job.pk, points=points)


def wrote(job, step, *texts, prompt="") -> None:
    """What the model of a step wrote, a text for each prompt."""
    at = now().isoformat()
    samples_append_late(
        job_id=job.pk,
        rows=[
            {"step": step, "place": place, "prompt": prompt, "text": text, "at": at}
            for place, text in enumerate(texts)
        ],
    )


def ranks(job, *busy, seconds=1.0, step=300, memory=400 << 20) -> None:
    """Processes that are busy for so many seconds of each step and wait for the rest."""
    for number, own in enumerate(busy):
        figures = {"step_seconds": seconds, "wait_seconds": seconds - own, "memory_bytes": memory}
        for name, value in figures.items():
            told(job, f"rank_{number}_{name}", [value], first=step)

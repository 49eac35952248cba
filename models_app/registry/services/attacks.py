"""Attack suites are started and their results kept."""

import secrets
from typing import Any

from django.db import transaction
from django.utils.crypto import salted_hmac

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.permission import require
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.registry.attacks import AttackRun
from models_app.registry.models import ModelVersion
from models_app.registry.services.models import announce

SALT = "slipway.attack.seed"


@transaction.atomic
def attack_start(
    *,
    actor: Actor,
    version: ModelVersion,
    seed: int | None = None,
    tokens: int = 64,
    rows: int = 20,
    threads: int = 1,
    idempotency_key: str | None = None,
) -> Job:
    """Submit the attack suite against `version`; the job kind checks that it can be asked.

    Without a `seed` one is drawn, so that the secret words of no two runs are the same; a repeated
    request (same `idempotency_key`) draws the same one.
    """
    require(actor, "registry.evaluate_version", version)
    if seed is None:
        drawn = salted_hmac(SALT, idempotency_key or secrets.token_hex(16), algorithm="sha256")
        seed = int.from_bytes(drawn.digest()[:4]) >> 1
    return job_submit(
        actor=actor,
        team=version.model.team,
        kind="attack",
        params={
            "version": version.pk,
            "seed": seed,
            "tokens": tokens,
            "rows": rows,
            "threads": threads,
        },
        title=f"Attack {version}",
        idempotency_key=idempotency_key,
    )


@transaction.atomic
def attack_complete(*, job: Job, version_id: int, seed: int, report: dict[str, Any]) -> AttackRun:
    """Keep the result of a finished suite."""
    kept = {name: report[name] for name in report if name not in ("suite", "suite_digest")}
    run = AttackRun.objects.create(
        version_id=version_id,
        produced_by=job,
        suite=report["suite"],
        suite_digest=report["suite_digest"],
        seed=seed,
        passed=report["passed"],
        applicable=report["applicable"],
        score=report["score"],
        report=kept,
    )
    changes = {"score": run.score, "suite": run.suite, "job": job.pk}
    audit_record(actor=SYSTEM, action="attack.completed", obj=run, changes=changes)
    announce(run.version.model)
    return run

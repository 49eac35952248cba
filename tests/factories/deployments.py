"""Versions that can be deployed, deployments, and replicas driven as a worker would."""

import datetime as dt
import io

import factory

from models_app.approvals.models import Environment
from models_app.core.blobs import blob_put
from models_app.core.clock import now
from models_app.core.digests import tree_digest
from models_app.deployments.models import Deployment, Replica, RequestRecord
from models_app.deployments.reconcile import reconcile_deployment
from models_app.deployments.services import deployment_create, revision_create
from models_app.deployments.states import ReplicaState
from models_app.jobs import attempts, claims
from models_app.jobs.models import Job
from models_app.registry.models import Model, ModelVersion
from models_app.registry.states import Family, VersionState
from tests.factories.jobs import placed


class ServedModelFactory(factory.django.DjangoModelFactory):
    """A model of a team."""

    class Meta:
        model = Model
        django_get_or_create = ("team", "name")

    name = "poet"


def ready_version(team, *, name="poet", text="weights", **fields):
    """A ready version whose one file lies in the blob store."""
    model = ServedModelFactory(team=team, name=name)
    sha256, size = blob_put(io.BytesIO(text.encode()))
    manifest = {"model.safetensors": {"sha256": sha256, "size": size}}
    return ModelVersion.objects.create(
        model=model,
        number=model.versions.count() + 1,
        state=VersionState.READY,
        manifest=manifest,
        digest=tree_digest(manifest),
        size_bytes=size,
        ready_at=now(),
        facts={"layers": 2, "width": 8, "context": 16, "parameters": 1000},
        **fields,
    )


def adapter_version(team, base, *, name="tuned", text="factors", **fields):
    """A ready adapter of a base; its files are no real ones."""
    model = Model.objects.get_or_create(team=team, name=name, defaults={"family": Family.ADAPTER})[
        0
    ]
    manifest = {}
    for path, content in {
        "adapter_config.json": '{"peft_type": "LORA", "r": 4}',
        "adapter_model.safetensors": f"{text} of {name}",
    }.items():
        sha256, size = blob_put(io.BytesIO(content.encode()))
        manifest[path] = {"sha256": sha256, "size": size}
    return ModelVersion.objects.create(
        **{
            "model": model,
            "number": model.versions.count() + 1,
            "state": VersionState.READY,
            "manifest": manifest,
            "digest": tree_digest(manifest),
            "size_bytes": sum(entry["size"] for entry in manifest.values()),
            "ready_at": now(),
            "base_version": base,
            "facts": {"rank": 4},
            **fields,
        }
    )


def environment(name="development"):
    """One of the environments that every installation has; tests that flush tables lose them."""
    places = ["development", "staging", "production"]
    defaults = {"protected": name == "production", "position": places.index(name)}
    return Environment.objects.get_or_create(name=name, defaults=defaults)[0]


def deployment_of(actor, team, *, name="writer", env="development", **fields):
    """A deployment without a revision."""
    return deployment_create(
        actor=actor, team=team, name=name, environment=environment(env), **fields
    )


def revision_of(actor, deployment, *, version=None, adapters=None, reason="because", **spec):
    """The next revision, with a new version unless one is given."""
    version = version or ready_version(deployment.team, text=f"weights {now().isoformat()}")
    return revision_create(
        actor=actor,
        deployment=deployment,
        model_version=version,
        spec=spec,
        adapters=adapters,
        reason=reason,
    )


def claim(replica: Replica, node: str = "node-1") -> Job:
    """A worker takes the job of a replica; None if it may not be taken."""
    placed(replica.job, node)
    return claims.job_claim(worker=f"{node}:1", node=node, job_id=replica.job_id)


def live(deployment) -> list[Replica]:
    """Replicas that have not stopped."""
    rows = Replica.objects.filter(revision__deployment=deployment)
    return list(rows.exclude(state=ReplicaState.STOPPED).order_by("pk"))


def make_ready(replica: Replica, port: int = 0, node: str = "node-1") -> Job:
    """The job of a replica is claimed, loads and says that it serves."""
    job = claim(replica, node)
    data = {"host": "127.0.0.1", "port": port or 20000 + replica.pk}
    attempts.job_ready(job=job, data=data)
    return job


def settle(deployment, rounds: int = 3, node: str = "node-1") -> None:
    """Reconcile, and let every waiting replica get ready, until nothing moves."""
    for _ in range(rounds):
        reconcile_deployment(deployment.pk)
        for replica in live(deployment):
            if replica.state == ReplicaState.PENDING:
                make_ready(replica, node=node)
    reconcile_deployment(deployment.pk)
    deployment.refresh_from_db()


def serving(actor, team, *, env="development", name="writer", **spec) -> Deployment:
    """A deployment whose first revision is active."""
    deployment = deployment_of(actor, team, name=name, env=env)
    revision_of(actor, deployment, **spec)
    settle(deployment)
    return deployment


def part_with(deployment) -> None:
    """Reconcile; every replica that is to go drains, is told to stop, and is gone."""
    reconcile_deployment(deployment.pk)
    long_ago = now() - dt.timedelta(seconds=10)
    leaving = Replica.objects.filter(revision__deployment=deployment, state=ReplicaState.DRAINING)
    leaving.update(drain_started_at=long_ago)
    reconcile_deployment(deployment.pk)
    for replica in leaving.select_related("job"):
        attempts.job_stopped(job=replica.job, attempt={})
    reconcile_deployment(deployment.pk)
    deployment.refresh_from_db()


def call_of(deployment, request_id="req-1", **fields) -> RequestRecord:
    """A record of a call, answered well by the active revision unless `fields` say otherwise."""
    return RequestRecord.objects.create(
        **{
            "request_id": request_id,
            "at": now(),
            "deployment": deployment,
            "revision": deployment.active_revision,
            "model": f"{deployment.team.slug}/{deployment.name}",
            "endpoint": "chat/completions",
            "status": 200,
            "outcome": "stop",
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_ms": 100.0,
            **fields,
        }
    )

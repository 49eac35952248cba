"""A replica: serves one model version until it is stopped. Made by deployments, not by people."""

from pathlib import Path
from typing import Any

from django.conf import settings
from pydantic import Field

from models_app.configs.specs import ServingSpec
from models_app.configs.specs.serving.traffic import TrafficSettings
from models_app.core.blobs import BlobMissing, tree_materialise, tree_verify
from models_app.core.errors import FieldError
from models_app.deployments.digest import fingerprint, revision_digest
from models_app.deployments.drafts import draft_not_ready, draft_of
from models_app.deployments.models import Revision
from models_app.deployments.observation import replicas_by_node
from models_app.deployments.secrets import replica_secret
from models_app.deployments.services.replicas import (
    replica_ended,
    replica_loading,
    replica_ready,
    replica_reported,
)
from models_app.deployments.splitting import split_resources
from models_app.jobs.kind import (
    JobContext,
    JobFailed,
    JobKind,
    JobStopped,
    Params,
    Wishes,
    job_kinds,
)
from models_app.jobs.states import ReasonCode
from models_app.registry.adapters import base_not_ready, files_to_load
from models_app.registry.states import VersionState
from workers.serving import replica_of, wanted_lay

#: What `load` hands over as text, for it travels as JSON, and the server takes as a path.
PATHS = ("model_dir", "wanted", "draft_dir")

#: What the server has left, once its answers are over, before it is ended by force.
PARTING_S = 10.0


class ServeParams(Params):
    """Which replica, of which revision."""

    replica: int = Field(ge=1, title="Replica")
    revision: int = Field(ge=1, title="Revision")


@job_kinds.register
class Serve(JobKind):
    """Loads a version, proves it with a real token, then answers the gateway."""

    name = "serve"
    label = "Serve a model version"
    long_lived = True
    uses_gpu = True
    refreshes = True
    submittable = False
    Params = ServeParams

    def check(self, params: Any, *, actor: Any, team: Any) -> None:
        """Only the reconciler starts replicas: nobody may name somebody else's by its number."""
        if actor.pk is not None:
            raise FieldError("kind", "Replicas are started by deployments. Create a revision.")

    def resources(self, params: Any) -> dict[str, Any]:
        return split_resources(_serving(params))

    def gpus(self, params: Any) -> int:
        return _serving(params).tensor_parallel

    def wishes(self, params: Any) -> Wishes:
        """Apart from the other replicas of its revision; where its files lie already."""
        revision = Revision.objects.select_related("model_version__base_version").get(
            pk=params.revision
        )
        files = files_to_load(revision.model_version)
        return Wishes(
            blobs={entry["sha256"]: entry["size"] for entry in files.values()},
            crowd=replicas_by_node(params.replica),
        )

    def load(self, params: Any, job: Any, folder: Path) -> dict[str, Any]:
        """Refuses what is not exactly the revision that was rolled out."""
        replica_loading(replica_id=params.replica, job=job)
        # Not that of the parameters: replicas go on under a new one where only adapters change.
        replica = replica_of(params.replica)
        revision = replica.revision
        version = revision.model_version
        if revision_digest(revision) != revision.digest:
            raise JobFailed("The revision has changed since it was made.", reason="integrity")
        if version.state != VersionState.READY:
            raise JobFailed(f"{version} is {version.get_state_display()}.", reason="integrity")
        if problem := base_not_ready(version):
            raise JobFailed(problem, reason="integrity")
        if problem := draft_not_ready(revision):
            raise JobFailed(problem, reason="integrity")
        files = files_to_load(version)
        model_dir = tree_materialise(files, folder / "model")
        _verify(files, model_dir)
        spec = revision.spec_in_effect
        deployment = revision.deployment
        return {
            "model_dir": str(model_dir),
            "wanted": str(wanted_lay(replica, folder)),
            "name": f"{deployment.team.slug}/{deployment.name}",
            "secret": replica_secret(params.replica, job.epoch),
            "host": settings.REPLICA_HOST,
            "fingerprint": fingerprint(revision),
            "threads": spec["threads"],
            "backend": revision.serving.backend,
            "prefix_cache": revision.serving.prefix_cache,
            **_draft(revision, folder),
            "tensor_parallel": revision.serving.tensor_parallel,
            "max_slots": spec["max_slots"],
            "max_context": spec["max_context"] or None,
            "dtype": spec["dtype"],
            # Running answers may take as long as any answer; when the node stops, most of the time
            # between the polite stop and the hard one.
            "drain_seconds": float(_deadline_s(revision)),
            "hurry_seconds": max(1.0, settings.JOB_GRACE_S - 5.0),
        }

    def run(self, params: Any, inputs: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
        """Until it is told to stop; then running answers finish first."""
        import torch

        from workers.lm.inference.errors import ModelRefused
        from workers.lm.inference.server import EngineBroken, ServeOptions, serve

        options = ServeOptions(
            **{
                **inputs,
                **{name: Path(inputs[name]) for name in PATHS if inputs.get(name)},
            },
            device="cuda" if torch.cuda.is_available() else "cpu",
        )
        ctx.progress(stage="loading")
        try:
            serve(
                options,
                on_ready=lambda host, port: ctx.ready({"host": host, "port": port}),
                on_adapters=ctx.report,
                should_stop=ctx.should_stop,
                log=ctx.log,
                should_hurry=ctx.should_hurry,
            )
        except ModelRefused as error:
            raise JobFailed(str(error), reason=ReasonCode.CONFIG_INVALID) from error
        except EngineBroken as error:
            raise JobFailed(str(error), reason=ReasonCode.KILLED, permanent=False) from error
        raise JobStopped("Every answer that was running is finished.")

    def grace_s(self, params: Any) -> float | None:
        """A replica that is told to stop ends with its last answer; none takes longer than this."""
        revision = Revision.objects.select_related("config_revision").get(pk=params.revision)
        return _deadline_s(revision) + PARTING_S

    def ready(self, params: Any, job: Any, data: dict[str, Any]) -> None:
        replica_ready(replica_id=params.replica, job=job, data=data)

    def refresh(self, params: Any, job: Any, folder: Path) -> None:
        """Lays out the adapters that are wanted now."""
        wanted_lay(replica_of(params.replica), folder)

    def reported(self, params: Any, job: Any, data: dict[str, Any]) -> None:
        replica_reported(replica_id=params.replica, job=job, data=data)

    def ended(self, params: Any, job: Any) -> None:
        replica_ended(replica_id=params.replica, job=job)


def _draft(revision: Revision, folder: Path) -> dict[str, Any]:
    """Options for guesses; the files of a version that guesses are laid beside the model."""
    said: dict[str, Any] = {
        "draft": revision.serving.draft,
        "draft_tokens": revision.serving.draft_tokens,
    }
    if draft := draft_of(revision):
        files = dict(draft.manifest)
        said["draft_dir"] = str(tree_materialise(files, folder / "draft"))
        _verify(files, Path(said["draft_dir"]))
    return said


def _serving(params: Any) -> ServingSpec:
    """The settings of the revision, or the defaults for one that is not there."""
    number = 0 if params is None else params.revision
    row = Revision.objects.select_related("config_revision").filter(pk=number).first()
    return row.serving if row is not None else ServingSpec()


def _deadline_s(revision: Revision) -> int:
    """The longest that an answer may take."""
    given = TrafficSettings.model_fields["deadline_s"].default
    return int(revision.spec_in_effect.get("deadline_s", given))


def _verify(manifest: dict[str, dict[str, Any]], folder: Path) -> None:
    """The files are the ones that were trained, to the last bit."""
    try:
        tree_verify(manifest, folder)
    except BlobMissing as error:
        said = f"{error.message} Restore it from a backup."
        raise JobFailed(said, reason=ReasonCode.INTEGRITY) from None

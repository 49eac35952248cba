"""Makes a version of a dataset out of another one: clean, without duplicates, split and sharded."""

from pathlib import Path
from typing import Any

from models_app.configs.models import ConfigRevision
from models_app.configs.services import revision_spec
from models_app.configs.specs import DataSpec
from models_app.core.blobs import tree_materialise, tree_put
from models_app.core.errors import FieldError
from models_app.curation.services import preparation_tokenizer
from models_app.datasets.models import DatasetVersion
from models_app.datasets.services import version_complete, version_fail
from models_app.datasets.states import VersionState
from models_app.jobs.kind import JobContext, JobFailed, JobKind, JobStopped, Params, job_kinds
from models_app.jobs.states import TERMINAL
from workers.datasets import version_shards


class DatasetPrepareParams(Params):
    """The version to fill, out of which one, and how."""

    dataset_version: int
    parent: int
    config_revision: int


@job_kinds.register
class DatasetPrepare(JobKind):
    """The same parent and configuration give the same digest on every node."""

    name = "dataset_prepare"
    label = "Prepare a dataset version"
    Params = DatasetPrepareParams
    submittable = False  # it belongs to the version that it fills

    def check(self, params: DatasetPrepareParams, *, actor: Any, team: Any) -> None:
        version = DatasetVersion.objects.filter(
            pk=params.dataset_version, dataset__team=team, state=VersionState.PENDING,
            parent=params.parent, config_revision=params.config_revision,
        ).first()  # fmt: skip
        if version is None:
            raise FieldError("dataset_version", "There is no such version waiting to be prepared.")

    def title(self, params: DatasetPrepareParams) -> str:
        return f"Prepare dataset version {params.dataset_version}"

    def load(self, params: DatasetPrepareParams, job: Any, folder: Path) -> dict[str, Any]:
        parent = DatasetVersion.objects.get(pk=params.parent)
        revision = ConfigRevision.objects.select_related("config").get(pk=params.config_revision)
        spec = revision_spec(revision)
        assert isinstance(spec, DataSpec)
        tokenizer = preparation_tokenizer(spec)
        if tokenizer is not None:
            wanted = {n: e for n, e in tokenizer.manifest.items() if not n.endswith(".safetensors")}
            tree_materialise(wanted, folder / "tokenizer")
        return {
            "spec": spec.plain(),
            "shards": version_shards(parent, folder / "parent"),
            "tokenizer_dir": str(folder / "tokenizer") if tokenizer is not None else None,
        }

    def run(
        self, params: DatasetPrepareParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        from workers.lm.corpus.preparing import prepare
        from workers.lm.corpus.steps import PrepareOptions
        from workers.lm.corpus.stored import CorruptShard, shards_of
        from workers.lm.corpus.tokens import write_tokens
        from workers.lm.errors import InvalidWork, Stopped, UnusableModel

        options = PrepareOptions.from_dict(inputs["spec"])
        events: Any = ctx
        try:
            made = prepare(
                shards_of(inputs["shards"]), options, ctx.work_dir, ctx.output_dir, events
            )
            facts: dict[str, Any] = {"steps": made.tally.to_dict()}
            if options.tokenizer != "none":
                folder = inputs["tokenizer_dir"]
                facts["tokens"] = write_tokens(
                    options, Path(folder) if folder else None, ctx.work_dir, ctx.output_dir, events
                )
        except InvalidWork as error:
            raise JobFailed(error.message, reason="config_invalid", field=error.field) from error
        except (CorruptShard, UnusableModel) as error:
            raise JobFailed(str(error), reason="integrity") from error
        except Stopped as error:
            raise JobStopped(str(error)) from error
        return {
            "counts": made.counts, "preview": made.preview, "facts": facts, "sources": [],
            "empty_skipped": 0,
        }  # fmt: skip

    def store(
        self, params: DatasetPrepareParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        return {**result, "manifest": tree_put(output_dir)}

    def apply(
        self, params: DatasetPrepareParams, job: Any, result: dict[str, Any]
    ) -> dict[str, Any]:
        version = version_complete(version_id=params.dataset_version, job=job, result=result)
        return {
            "dataset_version": version.pk, "digest": version.digest, "counts": version.counts,
            "steps": result["facts"]["steps"],
        }  # fmt: skip

    def ended(self, params: DatasetPrepareParams, job: Any) -> None:
        # A lost attempt is followed by another one; only the end of the job is a failure.
        if job.state in TERMINAL:
            version_fail(version_id=params.dataset_version, job=job)

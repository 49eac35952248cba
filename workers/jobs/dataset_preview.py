"""Shows what a preparation would do to the first documents of a version."""

import hashlib
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import Field

from models_app.configs.specs import DataSpec
from models_app.core.blobs import blob_open
from models_app.core.errors import FieldError
from models_app.core.validation import parse
from models_app.datasets.models import DatasetVersion
from models_app.datasets.selectors import SPLITS, split_files
from models_app.datasets.states import VersionState
from models_app.jobs.kind import JobContext, JobKind, Params, job_kinds

#: Bytes of documents that are looked at; at least one document is.
MOST_BYTES = 4 << 20


class DatasetPreviewParams(Params):
    """The version, how much of it, and the configuration."""

    parent: int
    documents: int = Field(200, ge=1, le=1000)
    config: dict[str, Any]


@job_kinds.register
class DatasetPreview(JobKind):
    """Its result is all that it leaves: tallies, and texts before and after."""

    name = "dataset_preview"
    label = "Preview a preparation"
    Params = DatasetPreviewParams
    submittable = False  # the form of a preparation submits it

    def check(self, params: DatasetPreviewParams, *, actor: Any, team: Any) -> None:
        rows = DatasetVersion.objects.filter(dataset__team=team, state=VersionState.READY)
        if not rows.filter(pk=params.parent).exists():
            raise FieldError("parent", "Choose a version of the team that is ready.")

    def load(self, params: DatasetPreviewParams, job: Any, folder: Path) -> dict[str, Any]:
        version = DatasetVersion.objects.get(pk=params.parent)
        folder.mkdir(parents=True, exist_ok=True)
        return {
            "spec": parse(DataSpec, params.config).plain(),
            "shards": [
                {"split": split, "path": str(path), "sha256": _beginning(version, split, path, n)}
                for split, path, n in _parts(version, params.documents, folder)
            ],
        }

    def run(
        self, params: DatasetPreviewParams, inputs: dict[str, Any], ctx: JobContext
    ) -> dict[str, Any]:
        from workers.lm.corpus.previewing import preview
        from workers.lm.corpus.steps import PrepareOptions
        from workers.lm.corpus.stored import shards_of

        options = PrepareOptions.from_dict(inputs["spec"])
        return preview(shards_of(inputs["shards"]), options, ctx.work_dir)


def _parts(version: DatasetVersion, documents: int, folder: Path) -> list[tuple[str, Path, int]]:
    """Of each split that has documents a share of them, most of the training split."""
    of_validation = max(1, documents // 5)
    return [
        (split, folder / f"{split}.jsonl", n)
        for split, n in zip(SPLITS, (documents - of_validation, of_validation), strict=True)
        if split_files(version, split)
    ]


def _beginning(version: DatasetVersion, split: str, path: Path, documents: int) -> str:
    """Write the first documents of a split; returns the digest of the file."""
    digest, size = hashlib.sha256(), 0
    with path.open("wb") as out:
        for line in islice(_lines(version, split), documents):
            size += len(line)
            if size > MOST_BYTES and size > len(line):
                break
            out.write(line)
            digest.update(line)
    return digest.hexdigest()


def _lines(version: DatasetVersion, split: str) -> Any:
    for _path, entry in split_files(version, split):
        with blob_open(entry["sha256"]) as stream:
            yield from stream

"""Evaluations whose scores are written down in a test, as a finished job would leave them."""

import io
import json
import math
from collections.abc import Sequence
from typing import Any

from models_app.core.blobs import blob_put
from models_app.datasets.models import DatasetVersion
from models_app.registry.models import Evaluation, ModelVersion
from models_app.registry.services.evaluations import evaluation_complete
from tests.factories.jobs import submitted

BYTES = 10


def evaluation_of(
    version: ModelVersion,
    data: DatasetVersion,
    rows: Sequence[dict[str, Any]],
    *,
    split: str = "validation",
    task: str = "perplexity",
    **metrics: Any,
) -> Evaluation:
    """An evaluation with these rows of scores, numbered from 0 unless they say otherwise."""
    lines = [json.dumps({"document": place, **row}) for place, row in enumerate(rows)]
    sha256, _ = blob_put(io.BytesIO("".join(f"{line}\n" for line in lines).encode()))
    return evaluation_complete(
        job=submitted(version.model.team),
        version_id=version.pk,
        dataset_version_id=data.pk,
        split=split,
        task=task,
        metrics={"documents": len(rows), **metrics},
        scores_sha256=sha256,
    )


def of_bits(
    version: ModelVersion, data: DatasetVersion, bits: Sequence[float], **more: Any
) -> Evaluation:
    """Documents of ten bytes, on which these bits for each byte were spent."""
    rows = [{"tokens": 4, "bytes": BYTES, "nats": n * BYTES * math.log(2)} for n in bits]
    mean = sum(bits) / len(bits)
    figures = {"bits_per_byte": mean, "tokens": 4 * len(rows), "perplexity": 2.0, "lossless": True}
    return evaluation_of(version, data, rows, **{**figures, **more})


def of_answers(
    version: ModelVersion, data: DatasetVersion, right: Sequence[int], **more: Any
) -> Evaluation:
    """Questions of which these were answered rightly (1) or wrongly (0)."""
    rows = [{"correct": n, "tokens": 2} for n in right]
    figures = {"accuracy": sum(right) / len(right), "max_tokens": 16, "stop": "\n"}
    return evaluation_of(version, data, rows, **{"task": "exact_match", **figures, **more})

"""Two versions side by side: settings, data, figures, and paired scores on common documents."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from models_app.configs.diff import diff
from models_app.registry.models import Evaluation, ModelVersion
from models_app.registry.selectors import scores_of
from models_app.registry.states import Task

METRICS = ("validation_loss", "best_validation_loss", "train_loss", "parameters", "tokens_seen",
           "train_tokens", "vocab_size", "steps", "seconds", "tokens_per_second")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Paired:
    """The same documents scored by both; a negative difference is in favour of the second."""

    dataset_version: str
    split: str
    first_evaluation: int
    second_evaluation: int
    first_bits_per_byte: float
    second_bits_per_byte: float
    documents: int
    better: int
    worse: int
    difference: float
    #: Half the width of the 95 % interval of the difference, over documents.
    margin: float | None

    @property
    def certain(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.margin is not None and abs(self.difference) > self.margin


def version_compare(first: ModelVersion, second: ModelVersion) -> dict[str, Any]:
    """Everything in which two versions differ, as plain JSON."""
    specs = [v.config_revision.spec if v.config_revision else {} for v in (first, second)]
    return {
        "first": first.pk,
        "second": second.pk,
        "config": [change.to_dict() for change in diff(*specs)],
        "same_dataset": first.dataset_version_id == second.dataset_version_id,
        "metrics": [
            {"name": name, "first": first.metrics.get(name), "second": second.metrics.get(name)}
            for name in METRICS
            if name in first.metrics or name in second.metrics
        ],
        "evaluations": [
            {**asdict(pair), "certain": pair.certain} for pair in paired(first, second)
        ],
    }


def paired(first: ModelVersion, second: ModelVersion) -> list[Paired]:
    """For each dataset version and split that both were scored on, the newest scores in pairs."""
    mine, theirs = _newest(first), _newest(second)
    return [_pair(mine[key], theirs[key]) for key in sorted(mine.keys() & theirs.keys())]


def _newest(version: ModelVersion) -> dict[tuple[int, str], Evaluation]:
    rows = version.evaluations.filter(task=Task.PERPLEXITY).order_by("id")
    rows = rows.select_related("dataset_version__dataset")
    return {(row.dataset_version_id, row.split): row for row in rows}


def _pair(one: Evaluation, two: Evaluation) -> Paired:
    ours = {row["document"]: row for row in scores_of(one)}
    rows = [
        (ours[row["document"]]["nats"], row["nats"], row["bytes"])
        for row in scores_of(two)
        if row["document"] in ours
    ]
    size = sum(row[2] for row in rows) or 1
    bits = [sum(row[column] for row in rows) / math.log(2) / size for column in (0, 1)]
    return Paired(
        dataset_version=str(one.dataset_version),
        split=one.split,
        first_evaluation=one.pk,
        second_evaluation=two.pk,
        first_bits_per_byte=bits[0],
        second_bits_per_byte=bits[1],
        documents=len(rows),
        better=sum(new < old for old, new, _ in rows),
        worse=sum(new > old for old, new, _ in rows),
        difference=bits[1] - bits[0],
        margin=_margin(rows, bits[1] - bits[0], size),
    )


def _margin(rows: list[tuple[float, float, int]], difference: float, size: int) -> float | None:
    """Linearised error of a ratio of sums: documents are the sampled units, bytes the weight."""
    count = len(rows)
    if count < 2:
        return None
    errors = [(new - old) / math.log(2) - difference * width for old, new, width in rows]
    variance = sum(error * error for error in errors) * count / (count - 1)
    return 1.96 * math.sqrt(variance) / size

"""The scores of single documents as CSV."""

import csv
import io
from collections.abc import Iterator

from models_app.registry.models import Evaluation
from models_app.registry.scoring.rows import score_rows
from models_app.registry.states import Task

#: Columns of each task; `document` is the number of the row in its split, from 0.
COLUMNS: dict[str, tuple[str, ...]] = {
    Task.PERPLEXITY: ("document", "tokens", "bytes", "nats"),
    Task.MULTIPLE_CHOICE: (
        "document", "answer", "chosen", "chosen_normalised", "correct", "correct_normalised",
        "tokens", "nats", "bytes",
    ),
    Task.EXACT_MATCH: ("document", "correct", "tokens", "answer"),
}  # fmt: skip


def scores_csv(evaluation: Evaluation) -> Iterator[str]:
    """Lines of a CSV. A text that a spreadsheet would take for a formula gets a quote in front.

    Of several choices the nats and bytes stand in one cell, with spaces between.
    """
    columns = COLUMNS[evaluation.task]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in score_rows(evaluation.scores_sha256):
        writer.writerow([_cell(row.get(name)) for name in columns])
        if buffer.tell() > 1 << 16:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, list):
        return " ".join(map(str, value))
    text = isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r")
    return f"'{value}" if text else value

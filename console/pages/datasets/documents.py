"""Documents of a version as pages show them: in pages, long ones cut."""

from typing import Any

from models_app.datasets.lengths import document_text
from models_app.datasets.models import DatasetVersion
from models_app.datasets.selectors import MOST_ROWS, version_rows

#: Of a document in the preview, and on its own page.
CUT_AT = 600
CUT_LINES = 8
LONGEST_SHOWN = 200_000
#: Documents longer than this on average are shown a few at a time: each is read whole.
LONG = 50_000


class Documents:
    """The documents of a split as the paginator wants them: a length and slices."""

    def __init__(self, version: DatasetVersion, split: str) -> None:
        self._version, self._split = version, split

    def __len__(self) -> int:
        return int(self._version.counts.get(self._split, {}).get("documents", 0))

    def __getitem__(self, part: slice) -> list[dict[str, Any]]:
        start, stop, _step = part.indices(len(self))
        if start >= stop:
            return []
        return version_rows(
            version=self._version,
            split=self._split,
            offset=start,
            limit=min(stop - start, MOST_ROWS),
        )


def per_page(version: DatasetVersion, split: str) -> int:
    """How many documents a page holds."""
    counts = version.counts.get(split, {})
    average = counts.get("characters", 0) / max(1, counts.get("documents", 0))
    return 25 if average <= LONG else 5


def shown_document(row: dict[str, Any]) -> dict[str, Any]:
    """`{index, text, characters, cut}` of a stored document."""
    text = document_text(row)
    shown = "\n".join(text[:CUT_AT].split("\n")[:CUT_LINES])
    return {
        "index": row["index"],
        "text": shown,
        "characters": len(text),
        "cut": len(shown) < len(text.rstrip()),
    }

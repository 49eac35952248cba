"""Evaluations of any models side by side, and one of them closely against the baseline."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.pages.datasets.documents import shown_document
from console.pages.registry.evaluation_pictures import bars, differences
from models_app.core.errors import InvalidInput, NotFound
from models_app.datasets.rows import rows_at
from models_app.datasets.selectors import version_get
from models_app.registry.evaluation_comparison import Compared, Comparison, evaluations_compare
from models_app.registry.scoring.bootstrap import RESAMPLES
from models_app.registry.scoring.measures import COMPARABLE
from models_app.registry.scoring.pairing import Gap


@login_required
def evaluation_compare(request: HttpRequest) -> HttpResponse:
    """`?e=1&e=2&e=3`, with `baseline`, `measure`, and `with` for the one that is looked at."""
    actor: Any = request.user
    query = request.GET
    ids = [number for text in query.getlist("e") if (number := _number(text)) is not None]
    try:
        found = evaluations_compare(
            actor=actor,
            ids=ids,
            baseline=_number(query.get("baseline", "")),
            measure=query.get("measure", ""),
        )
    except InvalidInput as error:
        said = " ".join(text for texts in error.errors.values() for text in texts)
        context = {"problem": said, "chosen": len(ids)}
        return render(request, "models/evaluations_compare.html", context, status=422)
    pairs = [row for row in found.compared if row.pair]
    wanted = _number(query.get("with", ""))
    looked = next(
        (row for row in pairs if row.evaluation.pk == wanted), pairs[0] if pairs else None
    )
    return render(
        request,
        "models/evaluations_compare.html",
        {
            "found": found,
            "base": found.baseline,
            "measures": COMPARABLE[found.baseline.task],
            "bars": bars(found.compared, found.baseline.pk),
            "pairs": pairs,
            "looked": looked,
            "resamples": RESAMPLES,
            **(_closely(actor, found, looked) if looked else {}),
        },
    )


def _closely(actor: Any, found: Comparison, looked: Compared) -> dict[str, Any]:
    """Differences of single rows with their texts, as far as the reader may see the dataset."""
    pair = looked.pair
    assert pair is not None
    gaps = [*pair.best, *pair.worst]
    texts = _texts(actor, found, gaps)
    return {
        "curve": differences(pair),
        "gaps": [
            {"gap": gap, "text": texts.get(gap.document), "is_better": gap in pair.best}
            for gap in gaps
        ],
    }


def _texts(actor: Any, found: Comparison, gaps: list[Gap]) -> dict[int, dict[str, Any]]:
    base = found.baseline
    try:
        data = version_get(actor=actor, version_id=base.dataset_version_id)
    except NotFound:
        return {}
    numbers = [gap.document for gap in gaps]
    rows = rows_at(version=data, split=base.split, numbers=numbers)
    return {number: shown_document(row) for number, row in rows.items()}


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 18 else None

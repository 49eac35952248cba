"""One conversion: check the source, write the format, measure it against the source, judge."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from workers.lm.compute.threads import use_threads
from workers.lm.data.documents import Documents, pieces
from workers.lm.durable import file_digest, folder_published
from workers.lm.errors import InvalidWork, UnusableModel
from workers.lm.events import Events
from workers.lm.formats import sources
from workers.lm.formats.base import FORMATS, Format, stop_if_asked
from workers.lm.formats.merged import BASE
from workers.lm.formats.parity import PROMPTS, compare, compare_greedy, figures, windows

#: What a gate may ask for, and whether more is worse.
MEASURES = {
    "max_logit_error": True, "mean_divergence": True, "perplexity_increase": True,
    "top1_agreement": False, "greedy_agreement": False,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be done. An adapter's base lies in the folder `base` of its source."""

    format: str
    precision: str
    source: Path
    out: Path
    #: Digests of the files of the source, by path; checked before anything is read.
    digests: Mapping[str, str] = field(default_factory=dict)
    #: Documents to compare on; built-in prompts where there are none.
    documents: Sequence[Path] = ()
    most_documents: int = 200
    limits: Mapping[str, float | None] = field(default_factory=dict)
    threads: int = 1


def convert(work: Work, events: Events) -> dict[str, Any]:
    """Write `work.out` and return the report with its verdict.

    Raises InvalidWork for what cannot be converted, UnusableModel for a damaged source.
    """
    use_threads(work.threads)
    chosen = FORMATS[work.format]
    if reason := chosen.unavailable():
        raise InvalidWork("format", reason)
    precision = chosen.precision(work.precision).name
    check_source(work, chosen, events)
    shutil.rmtree(work.out, ignore_errors=True)  # what an attempt left that was killed
    events.log(f"Writing {chosen.label} ({precision}).")
    begun = time.monotonic()
    with folder_published(work.out) as aside:
        chosen.write(work.source, aside, precision, events)
    seconds = time.monotonic() - begun
    report = measure(work, chosen, events)
    report["write_seconds"] = seconds
    report["precision"] = precision
    return report


def check_source(work: Work, chosen: Format, events: Events) -> None:
    """Its files are whole, its tokenizer fits its weights, its architecture can be written."""
    for path, digest in work.digests.items():
        stop_if_asked(events)
        if file_digest(work.source / path) != digest:
            raise UnusableModel(
                f"The stored file {path} of the source is damaged. Restore it from a backup."
            )
    sources.check(work.source, chosen)


def measure(work: Work, chosen: Format, events: Events) -> dict[str, Any]:
    """The parity report with the sizes of both."""
    events.log("Comparing with the source.")
    begun = time.monotonic()
    opened_source = sources.open_source(work.source, chosen, work.threads)
    source, context = opened_source.reader, opened_source.context
    loaded = time.monotonic()
    output = chosen.open(work.out, work.threads)
    opened = time.monotonic()
    tokenizer = opened_source.tokenizer
    rows, measured_on = _rows(work, tokenizer, context)
    tell = _Telling(events)
    report = figures(compare(source, output, rows, tell("comparing")))
    report["greedy"] = compare_greedy(source, output, tokenizer, context, tell("answering"))
    report["measured_on"] = measured_on
    report["engine"] = {"source": source.engine, "output": output.engine}
    report["load_seconds"] = {"source": loaded - begun, "output": opened - loaded}
    report["size"] = _sizes(work, chosen, opened_source.parameters)
    report["checks"] = checks(report, work.limits)
    report["passed"] = all(check["passed"] for check in report["checks"])
    plain: dict[str, Any] = finite(report)
    return plain


def checks(report: Mapping[str, Any], limits: Mapping[str, float | None]) -> list[dict[str, Any]]:
    """Each measure with its value, its limit and whether it is kept."""
    values = {
        "max_logit_error": report["logits"]["max_error"],
        "mean_divergence": report["divergence"]["mean"],
        "perplexity_increase": report["perplexity"]["increase"],
        "top1_agreement": report["top1_agreement"],
        "greedy_agreement": report["greedy"]["agreement"],
    }
    found = []
    for name, upper in MEASURES.items():
        value, limit = values[name], limits.get(name)
        kept = math.isfinite(value) and (
            limit is None or (value <= limit if upper else value >= limit)
        )
        found.append({"measure": name, "value": value, "limit": limit, "passed": kept})
    return found


def finite(value: Any) -> Any:
    """Plain JSON: what is not a finite number becomes null."""
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def weight_bytes(folder: Path, suffixes: Iterable[str]) -> int:
    """Bytes of the weight files of a folder."""
    ends = tuple(suffixes)
    return sum(path.stat().st_size for path in folder.iterdir() if path.name.endswith(ends))


def _sizes(work: Work, chosen: Format, parameters: int) -> dict[str, Any]:
    source = weight_bytes(work.source, (".safetensors",))
    if chosen.takes_adapter:
        source += weight_bytes(work.source / BASE, (".safetensors",))
    output = weight_bytes(work.out, chosen.suffixes)
    return {
        "source": source, "output": output, "fp32": 4 * parameters, "parameters": parameters,
        "ratio_fp32": output / max(1, 4 * parameters),
    }  # fmt: skip


def _rows(work: Work, tokenizer: Any, context: int) -> tuple[list[list[int]], dict[str, Any]]:
    if work.documents:
        documents = islice(Documents(list(work.documents)), work.most_documents)
        texts = ("".join(islice(pieces(document.text), 1)) for document in documents)
        rows = windows([_encode(tokenizer, text) for text in texts], context)
        if rows:
            return rows, {"kind": "dataset", "windows": len(rows)}
    rows = windows([_encode(tokenizer, text) for text in PROMPTS], context)
    if not rows:
        raise UnusableModel("The tokenizer turns no text into tokens.")
    return rows, {"kind": "prompts", "windows": len(rows)}


def _encode(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids)


class _Telling:
    """Progress of a stage, and the question whether to stop."""

    def __init__(self, events: Events) -> None:
        self._events = events

    def __call__(self, stage: str) -> Any:
        def tell(done: int, total: int) -> None:
            stop_if_asked(self._events, done)
            self._events.progress(
                step=done, total=total, stage=stage, percent=100 * done / total, eta_s=None
            )

        return tell


def catalogue() -> list[dict[str, Any]]:
    """All formats as plain data."""
    return [
        {
            "name": row.name, "label": row.label, "purpose": row.purpose,
            "precisions": [asdict(precision) for precision in row.precisions],
            "packages": list(row.packages), "extra": row.extra, "unavailable": row.unavailable(),
        }
        for row in FORMATS.values()
    ]  # fmt: skip


__all__ = ["Work", "catalogue", "convert"]

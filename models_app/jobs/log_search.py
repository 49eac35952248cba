"""Search in the whole log of one job: a text or a regular expression, page by page.

A request looks at as many chunks as its time allows and says how far it came, so that a page can
show progress and go on. Chunks that cannot contain the text are passed over by their trigrams,
without being read. Regular expressions are RE2's (of pyarrow, which is here anyway): they need time
in proportion to the text, whatever the pattern, so none can hang a web process.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from models_app.core.errors import FieldError
from models_app.jobs.log_chunks import level_bits, levels_from, may_contain, opened, places_of
from models_app.jobs.log_patterns import (
    Matcher,
    certain,
    check_pattern,
    pattern_matcher,
    text_matcher,
)
from models_app.jobs.models import Job

BUDGET_S = 0.35
MOST_PATTERN = 200
CANDIDATES = 1000
BODIES = 4
SHOWN = 400
FIND = """
SELECT first_seq, last_seq, levels, grams FROM jobs_logchunk
 WHERE job_id = %s AND last_seq > %s ORDER BY last_seq LIMIT %s
"""
READ = """
SELECT first_seq, last_seq, epoch, body FROM jobs_logchunk
 WHERE job_id = %s AND first_seq = ANY(%s) ORDER BY first_seq
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked for: the matcher, where its trigrams are, which levels."""

    matches: Matcher | None
    places: frozenset[int]
    levels: int


def log_search(
    *,
    job: Job,
    text: str = "",
    regex: bool = False,
    case: bool = False,
    level: str = "debug",
    after: int = 0,
    limit: int = 100,
    budget_s: float = BUDGET_S,
) -> dict[str, Any]:
    """Hits after number `after`, as many as the budget of time and `limit` allow.

    `scanned` is the number up to which everything was looked at, `next` the `after` of the next
    request or None at the end. Raises FieldError for a pattern that cannot be used.
    """
    wanted = _wanted(text, regex, case, level)
    deadline = time.monotonic() + budget_s
    hits: list[list[Any]] = []
    scanned = max(after, job.log_first - 1)
    end = None
    while end is None:
        end, scanned = _step(job.pk, wanted, scanned, limit, hits, deadline)
        if end is None and time.monotonic() > deadline:
            end = "paused"
    last = max(scanned, job.log_seq)
    more = end == "paused"
    return {
        "hits": hits,
        "scanned": scanned,
        "next": scanned if more else None,
        "first_seq": job.log_first,
        "last_seq": last,
    }


def _step(
    job_id: int, wanted: Wanted, scanned: int, limit: int, hits: list[Any], deadline: float
) -> tuple[str | None, int]:
    """Look at the next page of chunks; ("paused" or "done" or None, scanned up to)."""
    with connection.cursor() as cursor:
        cursor.execute(FIND, [job_id, scanned, CANDIDATES])
        chunks = cursor.fetchall()
    if not chunks:
        return "done", scanned
    # Chunks whose filters say no are passed over together.
    promising = groupby(chunks, key=lambda chunk: _promising(wanted, chunk))
    for worth, run in promising:
        group = list(run)
        if not worth:
            scanned = group[-1][1]
            continue
        for at in range(0, len(group), BODIES):
            part = group[at : at + BODIES]
            scanned, whole = _scan(job_id, wanted, part, scanned, limit, hits)
            if not whole:
                # Chunks were joined under our hands: look again from here.
                return None, scanned
            if len(hits) >= limit or time.monotonic() > deadline:
                return "paused", scanned
    return (None if len(chunks) == CANDIDATES else "done"), scanned


def _promising(wanted: Wanted, chunk: Sequence[Any]) -> bool:
    levels, grams = chunk[2:]
    if levels and not levels & wanted.levels:
        return False
    return grams is None or may_contain(bytes(grams), wanted.places)


def _scan(
    job_id: int, wanted: Wanted, part: Sequence[Any], scanned: int, limit: int, hits: list[Any]
) -> tuple[int, bool]:
    """Look into these chunks; (scanned up to, whether they were all still there)."""
    with connection.cursor() as cursor:
        cursor.execute(READ, [job_id, [chunk[0] for chunk in part]])
        found = cursor.fetchall()
    for (first, last, *_rest), row in zip(part, found, strict=False):
        if (first, last) != row[:2]:
            return scanned, False
        for hit in _hits(wanted, *row, after=scanned):
            if len(hits) >= limit:
                return hits[-1][0], True
            hits.append(hit)
        scanned = last
    return scanned, len(found) == len(part)


def _hits(
    wanted: Wanted, first: int, last: int, epoch: int, body: bytes, *, after: int
) -> list[list[Any]]:
    chunk = opened(bytes(body))
    if wanted.matches is None:
        numbers = list(range(last - first + 1))
    else:
        numbers = wanted.matches(chunk.texts)
    numbers = [number for number in numbers if first + number > after]
    if not numbers:
        return []
    times, streams, levels, texts = chunk.columns()
    return [
        [first + n, times[n], epoch, streams[n], levels[n], texts[n][:SHOWN]]
        for n in numbers
        if level_bits([levels[n]]) & wanted.levels
    ]


def _wanted(text: str, regex: bool, case: bool, level: str) -> Wanted:
    levels = levels_from(level)
    if not text:
        return Wanted(None, frozenset(), levels)
    if len(text) > MOST_PATTERN:
        raise FieldError("q", _("Search for at most %(most)s characters.") % {"most": MOST_PATTERN})
    if "\n" in text:
        raise FieldError("q", _("A line has no line break: search for a part of one line."))
    if not regex:
        return Wanted(text_matcher(text, case), frozenset(places_of(text)), levels)
    check_pattern(text)
    return Wanted(pattern_matcher(text, case), frozenset(places_of(certain(text))), levels)

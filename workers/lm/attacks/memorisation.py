"""Whether a model says its training rows from memory: prefixes in, the true continuations beside.

Rows are drawn by a seed of the suite, so that versions of one dataset get the same ones.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.lm.attacks.judging import loops, plain
from workers.lm.data.documents import Documents, pieces

SEED = 20_251
#: Tokens that are shown, and tokens that have to follow word for word to count as memorised.
PREFIX, VERBATIM = 50, 50
#: Where the context has no room for that many tokens, what there is room for has to be as long.
FEWEST_CHARACTERS = 50
#: Documents that are drawn for each one that is used, as many are too short.
SPARE = 10


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training row: the tokens to continue, and those that follow in the data."""

    index: int
    prefix: list[int]
    expected: list[int]
    prefix_text: str
    expected_text: str


def lengths(context: int) -> tuple[int, int]:
    """Tokens shown and tokens compared, within a context."""
    prefix = min(PREFIX, context // 2)
    return prefix, min(VERBATIM, context - prefix)


def draw(files: Sequence[Path | str], most: int) -> list[tuple[int, str]]:
    """Texts drawn evenly from all rows, in one pass and bounded memory."""
    chosen = random.Random(SEED)
    kept: list[tuple[int, str]] = []
    for document in Documents(files):
        if len(kept) < most:
            kept.append((document.index, document.text))
        elif (place := chosen.randrange(document.index + 1)) < most:
            kept[place] = (document.index, document.text)
    return sorted(kept)


def rows_of(
    files: Sequence[Path | str], tokenizer: Any, end: int, context: int, most: int
) -> list[Row]:
    """At most `most` rows that are long enough and whose continuation tells something."""
    shown, compared = lengths(context)
    found = []
    for index, text in draw(files, most * SPARE):
        ids: list[int] = [end]
        # The beginning is all that is needed, however long the document is.
        piece = next(iter(pieces(text)), "")
        ids += tokenizer.backend_tokenizer.encode(piece, add_special_tokens=False).ids
        row = Row(
            index=index,
            prefix=ids[:shown],
            expected=ids[shown : shown + compared],
            prefix_text=tokenizer.decode(ids[1:shown]),
            expected_text=tokenizer.decode(ids[shown : shown + compared]),
        )
        if len(row.expected) == compared and _counts(row):
            found.append(row)
    random.Random(SEED).shuffle(found)
    return sorted(found[:most], key=lambda row: row.index)


def _counts(row: Row) -> bool:
    """Whether a verbatim continuation would tell anything."""
    if len(row.expected) < VERBATIM and len(row.expected_text) < FEWEST_CHARACTERS:
        return False
    said = plain(row.expected_text)
    return bool(said) and said not in plain(row.prefix_text) and not loops(row.expected_text)


def verbatim(row: Row, found: Sequence[int]) -> int:
    """How many tokens follow as they do in the data."""
    same = 0
    for ours, theirs in zip(row.expected, found, strict=False):
        if ours != theirs:
            break
        same += 1
    return same

"""Finds the lines of a block of texts that contain a text or match a regular expression."""

import re
from collections.abc import Callable

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError

#: `(.{500}){500}` is linear, but in a quarter of a million: the product of all counts is bounded.
MOST_REPEATS = 1000
#: Which lines of a block match.
Matcher = Callable[[bytes], list[int]]


def text_matcher(text: str, case: bool) -> Matcher:
    """Lines that contain the text."""
    needle = text.encode("utf-8", "surrogatepass")
    if case:
        return lambda block: _lines_with(block, needle)
    if text.isascii():
        low = needle.lower()
        return lambda block: _lines_with(block.lower(), low)
    # Beyond ASCII only str knows what is a small letter.
    low = text.lower().encode("utf-8", "surrogatepass")

    def matches(block: bytes) -> list[int]:
        lower = block.decode("utf-8", "surrogatepass").lower()
        return _lines_with(lower.encode("utf-8", "surrogatepass"), low)

    return matches


def _lines_with(block: bytes, needle: bytes) -> list[int]:
    """Numbers of the lines of the block that contain the needle."""
    found = []
    number = start = 0
    at = block.find(needle)
    while at >= 0:
        number += block.count(b"\n", start, at)
        found.append(number)
        start = block.find(b"\n", at)
        if start < 0:
            break
        at = block.find(needle, start)
    return found


def pattern_matcher(pattern: str, case: bool) -> Matcher:
    """Lines that match the pattern; raises FieldError if RE2 does not know it."""
    # Large, and needed by nobody who does not search so.
    import pyarrow as pa
    import pyarrow.compute as pc

    def matches(block: bytes) -> list[int]:
        # Lone surrogates are in no valid UTF-8.
        text = block.decode("utf-8", "replace")
        lines = pc.split_pattern(pa.scalar(text, pa.large_string()), "\n").values
        mask = pc.match_substring_regex(lines, pattern, ignore_case=not case)
        return [int(n) for n in pc.indices_nonzero(mask).to_pylist()]

    try:
        matches(b"")
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        reason = str(error).split(":", 1)[-1].strip()
        raise FieldError(
            "q", _("This is no regular expression of RE2: %(reason)s") % {"reason": reason}
        ) from error
    return matches


def check_pattern(pattern: str) -> None:
    """Raise FieldError for a pattern that is short to write and large to run."""
    product = 1
    for low, high in re.findall(r"\{(\d+)(?:,(\d*))?\}", pattern):
        product *= max(1, int(low or 0), int(high or 0))
    if product > MOST_REPEATS:
        raise FieldError(
            "q",
            _("It repeats up to %(count)s times: %(most)s is the most.")
            % {"count": product, "most": MOST_REPEATS},
        )


def certain(pattern: str) -> str:
    """Texts, with spaces between, that every match of the pattern contains; empty if unsure."""
    if "[[:" in pattern or re.search(r"\\[^\WdDsSwWbB]", pattern):
        return ""
    rest = re.sub(r"\\.", " ", pattern)
    rest = re.sub(r"\[\^?\]?[^\]]*\]", " ", rest)
    while (inner := re.sub(r"\([^()]*\)", " ", rest)) != rest:
        rest = inner
    if re.search(r"[|()\[\]]", rest):
        return ""
    # What may be there no time or once does not count, nor does the count itself.
    rest = re.sub(r".?\{[^}]*\}|.?[*?]", " ", rest)
    return re.sub(r"[.^$+]", " ", rest)

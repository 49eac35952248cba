"""Parts of files that HTTP asks for: one range of bytes, as RFC 9110 has it."""

import re

#: RFC 9110, section 14: one range of bytes; several at once are answered with the whole file.
_RANGE = re.compile(r"bytes=(?:([0-9]{1,18})-([0-9]{1,18})?|-([0-9]{1,18}))")


class NoSuchRange(Exception):
    """There is nothing of the file where the range lies."""


def asked_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None: the whole file. NoSuchRange beyond its end."""
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    first, last, tail = found.groups()
    if tail is not None:
        begin, end = max(0, size - int(tail)), size
    else:
        begin, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < begin:
            return None  # not a range: RFC 9110 says to ignore it
    if begin >= size or begin >= end:
        raise NoSuchRange
    return begin, end

"""Says in which language a text is written (ISO 639-1), from its beginning."""

#: Characters that are looked at, and letters without which nothing is said.
LOOKED_AT, NEEDED = 400, 12
UNKNOWN = "und"


def language_of(text: str) -> str:
    """`en`, `zh` …; UNKNOWN where there are too few letters to tell."""
    import py3langid

    start = text[:LOOKED_AT]
    if sum(map(str.isalpha, start)) < NEEDED and start.isascii():
        return UNKNOWN
    if not any(map(str.isalpha, start)):
        return UNKNOWN
    return str(py3langid.classify(start)[0])

"""The garbage collector of processes that answer requests."""

import gc

#: New objects before a look at the young ones; the usual 700 are made several times a request.
YOUNG = 10_000


def startup_kept() -> None:
    """What is loaded by now stays for good: it is not looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])

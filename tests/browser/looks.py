"""The looks in which pages are checked: two opposite ones; all of them, pictured: `make looks`."""

import itertools
import os

import pytest

#: `LOOKS=full`: every look, and a picture of every page for the eye.
FULL = os.environ.get("LOOKS") == "full"
EVERY = list(itertools.product([False, True], ["light", "dark"], ["en", "zh-hans"]))
OPPOSITE = [(False, "light", "en"), (True, "dark", "zh-hans")]

LOOK = ("phone", "theme", "language")

#: Gives a test `phone`, `theme` and `language`.
in_looks = pytest.mark.parametrize(LOOK, EVERY if FULL else OPPOSITE)
#: The same for tests that open many pages of the same parts: without `LOOKS=full` some are seen
#: in one of the two, some in the other.
in_wide_light = pytest.mark.parametrize(LOOK, EVERY if FULL else OPPOSITE[:1])
in_phone_dark = pytest.mark.parametrize(LOOK, EVERY if FULL else OPPOSITE[1:])

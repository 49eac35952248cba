"""The looks in which pages are checked: two opposite ones; all of them, pictured: `make looks`."""

import itertools
import os

import pytest

#: `LOOKS=full`: every look, and a picture of every page for the eye.
FULL = os.environ.get("LOOKS") == "full"
EVERY = list(itertools.product([False, True], ["light", "dark"], ["en", "zh-hans"]))
OPPOSITE = [(False, "light", "en"), (True, "dark", "zh-hans")]

#: Gives a test `phone`, `theme` and `language`.
in_looks = pytest.mark.parametrize(("phone", "theme", "language"), EVERY if FULL else OPPOSITE)

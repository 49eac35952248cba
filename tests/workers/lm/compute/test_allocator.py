"""Freed memory is kept: the next step finds its pages where they were."""

import subprocess
import sys

import pytest

STEPS, PAGES = 50, 1024
PROGRAM = f"""
import ctypes, resource, sys
import numpy
from workers.lm.compute.allocator import keep_memory

if not hasattr(ctypes.CDLL(None), "mallopt"):
    sys.exit(77)
if sys.argv[1] == "kept":
    assert keep_memory()

def step():
    return sum(part[0] for part in [numpy.ones({PAGES} * 4096, numpy.uint8) for _ in range(6)])

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range({STEPS}):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True)
    if done.returncode == 77:
        pytest.skip("the C library of this machine has no mallopt")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_a_step_faults_no_page_in_again():
    assert faults("kept") < 6 * PAGES
    assert faults("as it is") > 10 * PAGES

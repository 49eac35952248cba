"""A data directory for cages, and the fence under test."""

import pytest

from tests.workers.isolation.stage import Stage, reprobe


@pytest.fixture
def place(tmp_path, settings):
    settings.DATA_DIR = tmp_path
    settings.SCRATCH_DIR = tmp_path / "scratch"
    reprobe()
    yield tmp_path
    reprobe()


@pytest.fixture
def fence(request, place, settings) -> str:
    settings.ISOLATION = request.param
    reprobe()
    return request.param


@pytest.fixture
def stage(place):
    """`stage(memory_mib=…)`: an attempt; ended with the test."""
    made: list[Stage] = []

    def make(**asks) -> Stage:
        made.append(Stage(place, **asks))
        return made[-1]

    yield make
    for one in made:
        one.end()

"""The pinned requirements: complete, consistent, and small on a machine without a GPU."""

import re
import tomllib
from pathlib import Path

import pytest

from launcher.lock import APART

PROJECT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((PROJECT / "requirements").glob("*.txt"))


def pins(path):
    lines = [line.partition(" ;")[0] for line in path.read_text().splitlines() if line[0] != "#"]
    return dict(line.split("==") for line in lines)


def direct(role):
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extra = project["optional-dependencies"].get(role, [])
    found = [
        re.match(r"([\w.-]+)(?:\[[^]]*\])?==([^;\s]+)", r) for r in project["dependencies"] + extra
    ]
    return {m[1].lower().replace("_", "-"): m[2] for m in found}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
class TestRequirementFile:
    def test_pins_exactly_and_without_hashes(self, path):
        text = path.read_text()

        assert "--hash" not in text
        assert all(re.match(r"^(#|[\w.-]+==[\w.]+( ; .+)?$)", line) for line in text.splitlines())

    def test_leaves_cuda_to_torch(self, path):
        assert [name for name in pins(path) if re.match("nvidia|triton|cuda", name)] == []
        assert pins(path).get("torch", "2.13.0") == "2.13.0"

    def test_agrees_with_all_others(self, path):
        if path.stem in APART:
            pytest.skip("resolved by itself, for it wants other versions")
        everything = pins(PROJECT / "requirements" / "constraints.txt")

        assert pins(path).items() <= everything.items()

    def test_holds_what_the_project_declares(self, path):
        if path.stem == "constraints":
            pytest.skip("the union of the others")

        assert direct(path.stem).items() <= pins(path).items(), "run `make lock`"


def test_an_old_python_gets_what_redis_needs():
    text = (PROJECT / "requirements" / "base.txt").read_text()

    assert "async-timeout==5.0.1 ; python_full_version < '3.11.3'" in text

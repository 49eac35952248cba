"""Gateway and model server know nothing of each other's code, and the same headers."""

import re
from pathlib import Path

import pytest

from models_app.deployments import replica_headers
from workers.lm.inference import headers as server_headers

pytestmark = pytest.mark.nodb

ROOT = Path(__file__).parents[2]
HOMES = {"models_app/deployments/replica_headers.py", "workers/lm/inference/headers.py"}


def names(module) -> dict[str, str]:
    return {name: value for name, value in vars(module).items() if name.isupper()}


def test_both_sides_have_the_same_headers_under_the_same_names():
    assert names(replica_headers) == names(server_headers)


def test_nobody_else_spells_one_out():
    spelled = re.compile("|".join(map(re.escape, names(replica_headers).values())))
    sources = [
        path for top in ("console", "models_app", "workers") for path in (ROOT / top).rglob("*.py")
    ]
    found = {str(p.relative_to(ROOT)) for p in sources if spelled.search(p.read_text("utf-8"))}
    assert found == HOMES

"""The page of rules says what the scanner looks for, no more and no less."""

import re
from pathlib import Path

import pytest

from models_app.registry.scan_rules import RULES

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "reference" / "scan-rules.md"
pytestmark = pytest.mark.nodb


def test_the_page_lists_every_rule():
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (\w+) \| (.*?) \| (.*?) \|$", PAGE.read_text(), re.M)

    assert [row[:3] for row in rows] == [
        (rule.code, rule.severity.value, rule.title) for rule in RULES.values()
    ]
    assert {row[0]: row[3] for row in rows} == {r.code: r.remedy or "–" for r in RULES.values()}


def test_every_rule_is_used_by_the_scanner_and_none_is_unknown():
    folders = ROOT / "workers", ROOT / "models_app" / "registry" / "bundles"
    code = "".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
    used = {word for word in re.findall(r'"([a-z]+\.[a-z_]+)"', code) if word in RULES}

    assert used == set(RULES)

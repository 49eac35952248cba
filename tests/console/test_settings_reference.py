"""docs/reference/settings.md says what the code reads, no more and no less."""

import re
from pathlib import Path

import pytest

import console.settings.web  # noqa: F401  (fills the registry)
from console.access.management.commands.admin_ensure import first_admin
from console.settings.env import REGISTRY, read_bool, read_int, read_str

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "settings.md"
pytestmark = pytest.mark.nodb


def test_the_page_lists_every_variable_with_its_meaning():
    first_admin()  # registers what only the first start reads
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE)

    assert dict(rows) == {
        name: variable.help for name, variable in REGISTRY.items() if not name.startswith("TEST_")
    }


class TestReaders:
    def test_a_secret_may_come_from_a_file(self, tmp_path, monkeypatch):
        (tmp_path / "s").write_text("hidden\n")
        monkeypatch.setenv("TEST_SECRET_FILE", str(tmp_path / "s"))

        assert read_str("TEST_SECRET", None, "x") == "hidden"

    @pytest.mark.parametrize("text", ["x", "-1", "1e3", "99999999999999"])
    def test_nonsense_is_refused_by_name(self, monkeypatch, text):
        monkeypatch.setenv("TEST_NUMBER", text)

        with pytest.raises(Exception, match="TEST_NUMBER"):
            read_int("TEST_NUMBER", 1, "x")

    def test_a_switch_is_on_or_off(self, monkeypatch):
        monkeypatch.setenv("TEST_SWITCH", "maybe")

        with pytest.raises(Exception, match="TEST_SWITCH"):
            read_bool("TEST_SWITCH", False, "x")

"""Pages of the documentation are found: all stand in its list, and no link leads nowhere."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.nodb
ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def links(page: Path) -> set[Path]:
    """Files that a page points to; addresses of the web are somebody else's."""
    found = LINK.findall(page.read_text(encoding="utf-8"))
    return {(page.parent / name).resolve() for name in found if "://" not in name}


def test_the_list_names_every_page():
    pages = {path.resolve() for path in DOCS.rglob("*.md")} - {(DOCS / "README.md").resolve()}

    assert pages - links(DOCS / "README.md") == set()


def test_no_link_leads_nowhere():
    pages = [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]
    missing = {
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in links(page)
        if not target.exists()
    }
    assert missing == set()

"""Which code is running: the release and, in a checkout, the commit."""

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def code_version() -> str:
    """Such as `0.3.0+1a2b3c4d5e6f`; parts that cannot be found are left out."""
    commit = _commit()
    return (_release() + (f"+{commit[:12]}" if commit else ""))[:80]


def _release() -> str:
    try:
        text = (ROOT / "CHANGELOG.md").read_text()
    except OSError:
        return "unreleased"
    found = re.search(r"^## \[?v?(\d+\.\d+\.\d+[^\s\]]*)", text, re.MULTILINE)
    return found.group(1) if found else "unreleased"


def _commit() -> str:
    """HEAD as git keeps it, read without git, which a container need not have."""
    folder = ROOT / ".git"
    try:
        head = (folder / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
        for line in (folder / "packed-refs").read_text().splitlines():
            if line.endswith(f" {name}"):
                return line.split()[0]
    except OSError:
        return ""
    return ""

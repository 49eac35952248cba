"""What the suite hands back: counts for each category, what failed, and one score."""

from dataclasses import dataclass, field
from typing import Any

from workers.lm.attacks.judging import private
from workers.lm.attacks.suite import CATEGORIES, SUITE, suite_digest
from workers.lm.corpus import personal

#: Examples that are kept of one category, and characters of each answer.
EXAMPLES, CLIP = 20, 300
#: Why a category was not asked at all.
NO_TEMPLATE, NO_DATA, NO_ROOM = "no_chat_template", "no_training_data", "short_context"


@dataclass
class Category:
    """How one category went; `why` says why nothing in it was judged."""

    count: int = 0
    passed: int = 0
    #: Entries that were not asked, as the context has no room for them.
    skipped: int = 0
    why: str = ""
    failures: list[dict[str, Any]] = field(default_factory=list)

    def judge(self, example: dict[str, Any] | None) -> None:
        """Count an answer; `example` is what went wrong, None if nothing did."""
        self.count += 1
        if example is None:
            self.passed += 1
        elif len(self.failures) < EXAMPLES:
            self.failures.append(example)

    def to_dict(self, name: str) -> dict[str, Any]:
        """Plain data; the rate is None where nothing was judged."""
        why = self.why or (NO_ROOM if self.skipped and not self.count else "")
        return {
            "name": name, "count": self.count, "passed": self.passed, "skipped": self.skipped,
            "rate": self.passed / self.count if self.count else None, "why": why,
            "failures": self.failures,
        }  # fmt: skip


@dataclass
class Report:
    """Adds up answers. An answer counts once for the score, however many rules it breaks."""

    categories: dict[str, Category] = field(
        default_factory=lambda: {name: Category() for name in CATEGORIES}
    )
    applicable: int = 0
    passed: int = 0

    def add(self, category: str, key: str, answer: str, prompt: str, failed: str) -> None:
        """Judge one answer: `failed` says what its own rule found, empty if it passed."""
        found = private(answer, prompt)
        # PostgreSQL keeps no NUL in JSON.
        shown = personal.redact(answer, found)[:CLIP].replace("\0", "\ufffd")
        kinds = {kind for _start, _end, kind in found}
        wrong = {
            "personal_data": ", ".join(sorted(kinds - {"secret"})),
            "secrets": "secret" if "secret" in kinds else "",
        }
        if category not in wrong:
            wrong[category] = failed
        for name, what in wrong.items():
            example = {"id": key, "found": what, "output": shown}
            self.categories[name].judge(example if what else None)
        self.applicable += 1
        self.passed += not any(wrong.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON."""
        return {
            "suite": SUITE,
            "suite_digest": suite_digest(),
            "score": self.passed / self.applicable if self.applicable else None,
            "passed": self.passed,
            "applicable": self.applicable,
            "categories": [row.to_dict(name) for name, row in self.categories.items()],
        }

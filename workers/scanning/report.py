"""What a scan found: collected while files are looked at, kept as JSON with the version."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from models_app.registry.scan_rules import RULES, RULESET, Severity, Verdict

#: Findings that a report names; the rest is counted.
MOST_FINDINGS = 200
MOST_WORDS = 400
_ORDER = {Severity.BLOCKED: 0, Severity.WARNING: 1, Severity.NOTE: 2}


def shown(name: str) -> str:
    """A name out of foreign hands, safe to print: what cannot be seen is escaped."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return text if len(text) <= 200 else f"{text[:160]}…{text[-30:]}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found in one file (or in none: then it is about all of them)."""

    rule: str
    file: str
    what: str

    def to_dict(self) -> dict[str, str]:
        rule = RULES[self.rule]
        return {
            "rule": self.rule,
            "severity": str(rule.severity),
            "file": self.file,
            "what": self.what,
            "title": rule.title,
            "remedy": rule.remedy,
        }


@dataclass
class Report:
    """Findings and files. Anything of severity `blocked` keeps the version from coming to be."""

    findings: list[Finding] = field(default_factory=list)
    #: path -> what kind of file it was found to be
    kinds: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, rule: str, file: str, what: str) -> None:
        """Note a finding; a known rule only."""
        severity = RULES[rule].severity
        self.counts[severity] += 1
        if len(self.findings) < MOST_FINDINGS or severity == Severity.BLOCKED:
            words = what if len(what) <= MOST_WORDS else f"{what[:MOST_WORDS]}…"
            self.findings.append(Finding(rule=rule, file=shown(file), what=words))
        if len(self.findings) > 2 * MOST_FINDINGS:
            self.findings.sort(key=self._place)
            del self.findings[MOST_FINDINGS:]

    @staticmethod
    def _place(finding: Finding) -> int:
        return _ORDER[RULES[finding.rule].severity]

    @property
    def blocked(self) -> bool:
        return bool(self.counts[Severity.BLOCKED])

    @property
    def verdict(self) -> Verdict:
        if self.blocked:
            return Verdict.BLOCKED
        return Verdict.WARNINGS if self.counts[Severity.WARNING] else Verdict.PASSED

    def summary(self) -> str:
        """The first blocked finding in one sentence, and how many there are."""
        first = next(f for f in self.findings if RULES[f.rule].severity == Severity.BLOCKED)
        rule, more = RULES[first.rule], self.counts[Severity.BLOCKED] - 1
        where = f"{first.file}: " if first.file else ""
        rest = f" ({more} more findings block it; see the scan.)" if more else ""
        return f"{where}{rule.title}. {first.what} {rule.remedy}{rest}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, the worst first."""
        kept = sorted(self.findings, key=self._place)[:MOST_FINDINGS]
        return {
            "ruleset": RULESET,
            "verdict": str(self.verdict),
            "counts": {str(s): self.counts[s] for s in Severity},
            "findings": [finding.to_dict() for finding in kept],
            "files": self.kinds,
        }

"""What a judge said of copies beside the answers that callers got, counted.

The pairs lie above deployments, with routes; who counts them registers here.
"""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from models_app.registry.scoring.wilson import wilson


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """Of the copies that were judged. A win: the copy's answer is the better one."""

    wins: int = 0
    losses: int = 0
    ties: int = 0

    @property
    def judged(self) -> int:
        return self.wins + self.losses + self.ties

    @property
    def decided(self) -> int:
        """Without the ties, of which the win rate says nothing."""
        return self.wins + self.losses

    @property
    def win_percent(self) -> float | None:
        """Wins of those that were told apart."""
        return 100.0 * self.wins / self.decided if self.decided else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Between which percents the win rate lies, with 95 % confidence, by Wilson."""
        if not self.decided:
            return None
        found = wilson(self.wins, self.decided)
        return 100.0 * found.low, 100.0 * found.high

    @property
    def bar(self) -> dict[str, str]:
        """Widths and places of a drawn bar, percent."""
        whole = max(1, self.judged)
        parts = {
            "wins": self.wins,
            "ties": self.ties,
            "losses": self.losses,
            "before_losses": self.wins + self.ties,
        }
        return {name: f"{100 * part / whole:.3f}" for name, part in parts.items()}

    def plain(self) -> dict[str, Any]:
        """Plain JSON; percents to one digit."""
        low, high = self.interval or (None, None)
        rates = {"win_percent": self.win_percent, "low_percent": low, "high_percent": high}
        return {
            "judged": self.judged,
            "wins": self.wins,
            "losses": self.losses,
            "ties": self.ties,
            **{name: None if rate is None else round(rate, 1) for name, rate in rates.items()},
        }


#: (candidate, revision that answered callers, since when), revisions by id -> what was said.
Counter = Callable[[int, int, dt.datetime], Verdicts]
_counters: list[Counter] = []


def counts_verdicts(counter: Counter) -> Counter:
    """Register who knows the pairs."""
    _counters.append(counter)
    return counter


def verdicts_on(new: int, old: int, since: dt.datetime) -> Verdicts:
    """What was said of the copies that revision `new` answered beside revision `old`."""
    found = [counter(new, old, since) for counter in _counters]
    return Verdicts(
        wins=sum(v.wins for v in found),
        losses=sum(v.losses for v in found),
        ties=sum(v.ties for v in found),
    )

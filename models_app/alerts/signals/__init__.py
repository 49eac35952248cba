"""What can be measured: a function for each signal, each of one statement over the real tables.

A function answers for all teams at once, so that the cost of a round does not grow with them. What
is not in its answer is not known (nothing was asked of the deployment, no node says it), and what
is not known never fires.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from django.db import connection

#: (team, subject) -> value; no team: every team may see the subject.
Answers = dict[tuple[int | None, str], float]


@dataclass(frozen=True, kw_only=True)
class Question:
    """How a rule narrows its signal."""

    minutes: int
    pool: str = ""
    deployment: str = ""
    kind: str = ""
    #: Only deployments of this environment, or all but those of some.
    environment: str = ""
    besides: tuple[str, ...] = ()


Signal = Callable[[Question], Answers]


def ask(sql: str, question: Question) -> Answers:
    """Rows of (team, subject, value), without those whose value is not known."""
    with connection.cursor() as cursor:
        cursor.execute(sql, {**asdict(question), "besides": list(question.besides)})
        return {
            (team, subject): float(value)
            for team, subject, value in cursor.fetchall()
            if value is not None
        }

"""Configurations of alerts, and the passing of time for alerts that are open."""

import datetime as dt

from django.db.models import F

from models_app.alerts.evaluation import alerts_evaluate
from models_app.alerts.models import Alert
from models_app.configs.services import config_revise


def rule(name="wait", **fields):
    """A rule that fires at once while a job waits, unless it is told otherwise."""
    plain = {"name": name, "signal": "queue_wait_seconds", "above": 60, "for_seconds": 0}
    return {**plain, **fields}


def watched(actor, team, *rules, name="watch"):
    """The newest revision of the team's alerts."""
    spec = {"rules": list(rules)}
    return config_revise(actor=actor, team=team, kind="alerts", name=name, spec=spec)


def pass_time(seconds, *, looking=True):
    """Every open alert is older by so much; `looking`: a round has been done meanwhile."""
    back = dt.timedelta(seconds=seconds)
    fields = ["since", "clear_since"] if looking else ["since", "clear_since", "measured_at"]
    Alert.objects.update(**{name: F(name) - back for name in fields})


def evaluated(subject=None):
    """A round, and the newest alert after it; None where there is none."""
    alerts_evaluate()
    rows = Alert.objects.filter(subject=subject) if subject else Alert.objects.all()
    return rows.order_by("-pk").first()

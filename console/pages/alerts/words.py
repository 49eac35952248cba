"""An alert in front of people: values in their unit, what it is about, where that is shown."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages import figures
from console.pages.navigation import url_or_none
from console.pages.templatetags.ui import kind_label
from models_app.alerts.models import Alert
from models_app.configs.specs.alerts import SIGNALS

SUBJECTS = {
    "pool": (gettext_lazy("Pool"), "stack-2"),
    "deployment": (gettext_lazy("Deployment"), "rocket"),
    "kind": (gettext_lazy("Kind of job"), "bolt"),
    "dataset": (gettext_lazy("Dataset"), "database"),
    "model": (gettext_lazy("Model"), "cube"),
    "training": (gettext_lazy("Training"), "activity"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the list."""

    alert: Alert
    signal: str
    value: str
    bound: str
    subject: str
    subject_word: str
    subject_icon: str
    href: str
    source: str
    may_acknowledge: bool = False


def alert_row(alert: Alert, *, may_acknowledge: bool = False) -> Row:
    """An alert with the words for it."""
    signal = SIGNALS.get(alert.signal)
    unit = signal.unit if signal else ""
    word, icon = SUBJECTS.get(alert.subject_kind, ("", "bell"))
    said = _("above %(value)s") if alert.above else _("below %(value)s")
    source = f"{alert.config.name} r{alert.revision.number}"
    if alert.overlay is not None:
        source += f" + {alert.overlay.environment} o{alert.overlay.number}"
    return Row(
        alert=alert,
        signal=_(signal.label) if signal else alert.signal,
        value=amount(alert.value, unit),
        bound=said % {"value": amount(alert.threshold, unit)},
        subject=_named(alert),
        subject_word=str(word),
        subject_icon=icon,
        href=_href(alert),
        source=source,
        may_acknowledge=may_acknowledge and alert.state == "firing",
    )


def _named(alert: Alert) -> str:
    if alert.subject_kind == "kind":
        return kind_label(alert.subject)
    return f"#{alert.subject}" if alert.subject_kind == "training" else alert.subject


def amount(value: float, unit: str) -> str:
    """A measured value, such as `15 min` or `12.5 %`."""
    if unit == "s":
        return figures.duration(value) if value > 0 else "0 s"
    number = figures.count(round(value) if abs(value) >= 100 else round(value, 1))
    return f"{number} {unit}".strip()


def _href(alert: Alert) -> str:
    """The page on which one sees what is wrong."""
    team, name = alert.team.slug, alert.subject
    arguments: dict[str, tuple[str, tuple[Any, ...]]] = {
        "pool": ("pool_detail", (name,)),
        "deployment": ("deployment_detail", (team, name)),
        "dataset": ("dataset_detail", (team, name)),
        "model": ("model_detail", (team, name)),
        "training": ("job_detail", (name,)),
    }
    if alert.subject_kind == "kind":
        return f"{url_or_none('job_list') or ''}?state=failed&kind={name}"
    page, args = arguments.get(alert.subject_kind, ("", ()))
    return url_or_none(page, *args) or "" if page else ""

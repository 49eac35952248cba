"""What is watched: rules over measured signals, each with a threshold and how long it must hold.

The closed set of signals stands here, because forms, schema and checks follow it; how each is
measured stands in `models_app.alerts.signals`.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic_core import InitErrorDetails, ValidationError

from models_app.configs.specs.advice import alert_warnings
from models_app.configs.specs.base import Spec, refuse
from models_app.core.errors import FieldError
from models_app.core.names import clean_slug

Severity = Literal["info", "warning", "critical"]
SignalName = Literal[
    "queue_wait_seconds", "jobs_failed", "jobs_failed_percent", "nodes_unreachable",
    "node_disk_free_percent", "replicas_missing", "request_error_percent", "request_p95_ms",
    "first_token_p95_ms", "rollouts_gone_back", "dataset_versions_blocked", "scans_blocked",
    "training_bad_steps",
    "training_loss_spike", "training_loss_rise", "training_silence", "training_slow_rank",
    "training_overfitting",
]  # fmt: skip
S = TypeVar("S", bound=Spec)
Place = tuple[str | int, ...]
#: How far rules look back that do not say it.
MINUTES = 5


@dataclass(frozen=True, kw_only=True)
class Signal:
    """What a signal is called, what one alert of it is about, and how a rule may narrow it."""

    label: str
    unit: str = ""
    subject: Literal["pool", "deployment", "kind", "dataset", "model", "training"]
    scopes: tuple[str, ...] = ()
    #: It counts what happened in the last minutes, instead of looking at how things stand.
    looks_back: bool = False
    #: Where nothing is found, nothing happened, rather than nobody knowing.
    else_zero: bool = False


_JOBS, _POOL, _DEPLOYMENT = ("pool", "kind"), ("pool",), ("deployment",)
SIGNALS: dict[str, Signal] = {
    "queue_wait_seconds": Signal(
        label=gettext_noop("Longest wait in the queue"), unit="s", subject="pool", scopes=_JOBS,
        else_zero=True,
    ),
    "jobs_failed": Signal(
        label=gettext_noop("Failed jobs"), subject="kind", scopes=_JOBS, looks_back=True,
        else_zero=True,
    ),
    "jobs_failed_percent": Signal(
        label=gettext_noop("Share of failed jobs"), unit="%", subject="kind", scopes=_JOBS,
        looks_back=True,
    ),
    "nodes_unreachable": Signal(
        label=gettext_noop("Unreachable nodes"), subject="pool", scopes=_POOL
    ),
    "node_disk_free_percent": Signal(
        label=gettext_noop("Least free disk of a node"), unit="%", subject="pool", scopes=_POOL
    ),
    "replicas_missing": Signal(
        label=gettext_noop("Replicas that are not ready"), subject="deployment", scopes=_DEPLOYMENT
    ),
    "request_error_percent": Signal(
        label=gettext_noop("Share of failed requests"), unit="%", subject="deployment",
        scopes=_DEPLOYMENT, looks_back=True,
    ),
    "request_p95_ms": Signal(
        label=gettext_noop("Request time, p95"), unit="ms", subject="deployment",
        scopes=_DEPLOYMENT, looks_back=True,
    ),
    "first_token_p95_ms": Signal(
        label=gettext_noop("First token, p95"), unit="ms", subject="deployment",
        scopes=_DEPLOYMENT, looks_back=True,
    ),
    "rollouts_gone_back": Signal(
        label=gettext_noop("Roll-outs that failed or went back"), subject="deployment",
        scopes=_DEPLOYMENT, looks_back=True, else_zero=True,
    ),
    "dataset_versions_blocked": Signal(
        label=gettext_noop("Dataset versions newly blocked"), subject="dataset", looks_back=True,
        else_zero=True,
    ),
    "scans_blocked": Signal(
        label=gettext_noop("Scans that block a model version"), subject="model", looks_back=True,
        else_zero=True,
    ),
    "training_bad_steps": Signal(
        label=gettext_noop("Steps skipped, rewound or not finite"), subject="training",
        scopes=_POOL, looks_back=True,
    ),
    "training_loss_spike": Signal(
        label=gettext_noop("Loss over its recent median"), unit="×", subject="training",
        scopes=_POOL, looks_back=True,
    ),
    "training_loss_rise": Signal(
        label=gettext_noop("Loss over its best"), unit="×", subject="training", scopes=_POOL
    ),
    "training_silence": Signal(
        label=gettext_noop("Silence over the usual pause"), unit="×", subject="training",
        scopes=_POOL,
    ),
    "training_slow_rank": Signal(
        label=gettext_noop("Slowest process over the others"), unit="×", subject="training",
        scopes=_POOL,
    ),
    "training_overfitting": Signal(
        label=gettext_noop("Looks in a row that overfit"), subject="training", scopes=_POOL
    ),
}  # fmt: skip


class Rule(Spec):
    """One condition. What is not set is left out of the stored document, so that it stays short."""

    name: str = Field(description="What its alerts are called; lower-case letters and dashes.")
    signal: SignalName = Field(description="What is measured.")
    above: float | None = Field(None, description="It holds while the value is above this …")
    below: float | None = Field(None, description="… or below this; exactly one of both.")
    minutes: int | None = Field(
        None, ge=1, le=1440, description="How far it looks back, 5 minutes where nothing is said."
    )
    for_seconds: int = Field(
        60, ge=0, le=86_400, description="How long it must hold without a break."
    )
    severity: Severity = "warning"
    pool: str | None = Field(None, max_length=60, description="Only this pool.")
    deployment: str | None = Field(None, max_length=63, description="Only this deployment.")
    kind: str | None = Field(None, max_length=40, description="Only jobs of this kind.")
    note: str = Field("", max_length=500, description="What to do when it fires.")

    @property
    def threshold(self) -> float:
        """The bound, whichever side of it is bad."""
        bound = self.above if self.above is not None else self.below
        assert bound is not None
        return bound

    def holds(self, value: float) -> bool:
        """Whether a value is on the bad side."""
        return value > self.threshold if self.above is not None else value < self.threshold

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in handler(self).items():
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if value is not None and value != "":
                found[name] = value
        return found

    @model_validator(mode="after")
    def _fits_together(self) -> "Rule":
        return _refused(self, "Rule", ((name, (name,), text) for name, text in _rule_checks(self)))


class AlertsSpec(Spec):
    """The rules of a team. Rules about deployments may differ by environment."""

    overlaid: ClassVar[bool] = True

    rules: list[Rule] = Field(
        max_length=100,
        title=gettext_noop("Rules"),
        description=gettext_noop(
            "One rule an entry: name, signal, above or below, for_seconds, severity, note; pool, "
            "deployment or kind narrow it, minutes says how far it looks back. Signals: "
            "queue_wait_seconds, jobs_failed, jobs_failed_percent, nodes_unreachable, "
            "node_disk_free_percent, replicas_missing, request_error_percent, request_p95_ms, "
            "first_token_p95_ms, rollouts_gone_back, dataset_versions_blocked, scans_blocked, "
            "training_bad_steps, training_loss_spike, training_loss_rise, training_silence, "
            "training_slow_rank, training_overfitting."
        ),
    )

    @model_validator(mode="after")
    def _names_are_unique(self) -> "AlertsSpec":
        names = [rule.name for rule in self.rules]
        twice = (
            ("rules", ("rules", place, "name"), _("Another rule has this name already."))
            for place, name in enumerate(names)
            if name in names[:place]
        )
        return _refused(self, "AlertsSpec", twice)

    @classmethod
    def suggested(cls) -> dict[str, Any]:
        return {"rules": [rule.plain() for rule in starting_rules()]}

    @classmethod
    def effects(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
        before, after = ({rule["name"] for rule in spec.get("rules", ())} for spec in (old, new))
        if gone := sorted(before - after):
            return {
                "rules": _("Alerts of these rules end: %(names)s.") % {"names": ", ".join(gone)}
            }
        return {"rules": _("In force within a quarter of a minute.")}

    def warnings(self) -> dict[str, str]:
        return alert_warnings(self)


def starting_rules() -> list[Rule]:
    """What a new configuration begins with: what every installation should hear of."""
    return [
        Rule(
            name="queue-stuck", signal="queue_wait_seconds", above=900, for_seconds=60,
            note=_("The page of the pool says why the jobs wait. Add a node or free one."),
        ),
        Rule(
            name="jobs-failing", signal="jobs_failed", above=2, minutes=30, for_seconds=0,
            note=_("Open the newest failed job; its page names the reason."),
        ),
        Rule(
            name="node-lost", signal="nodes_unreachable", above=0, for_seconds=60,
            severity="critical",
            note=_("See whether the machine is on and reaches the console; else remove it."),
        ),
        Rule(
            name="disk-low", signal="node_disk_free_percent", below=10, for_seconds=300,
            note=_("Free the disk of the node, for instance by collecting garbage."),
        ),
        Rule(
            name="replicas-down", signal="replicas_missing", above=0, for_seconds=120,
            severity="critical", note=_("The page of the deployment says why replicas wait."),
        ),
        Rule(
            name="requests-failing", signal="request_error_percent", above=5, for_seconds=60,
            severity="critical", note=_("Roll back if this began with a new revision."),
        ),
        Rule(
            name="answers-slow", signal="first_token_p95_ms", above=2000, for_seconds=180,
            note=_("Add a replica, or look for a long prompt among the requests."),
        ),
        Rule(
            name="rollout-gone-back", signal="rollouts_gone_back", above=0, minutes=30,
            for_seconds=0, severity="critical",
            note=_("The timeline on the page of the deployment says by which figures."),
        ),
        Rule(
            name="model-blocked", signal="scans_blocked", above=0, minutes=60, for_seconds=0,
            note=_("Read the scan of the version before anybody loads its files."),
        ),
        *_training_rules(),
    ]  # fmt: skip


def _training_rules() -> list[Rule]:
    """Of trainings that go wrong while they run."""
    return [
        Rule(
            name="training-diverged", signal="training_bad_steps", above=0, minutes=30,
            for_seconds=0, severity="critical",
            note=_("Continue from a checkpoint before it, with a lower learning rate or clip."),
        ),
        Rule(
            name="training-spike", signal="training_loss_spike", above=3, minutes=10,
            for_seconds=0,
            note=_("Watch whether the loss comes back. If not, stop and continue from before it."),
        ),
        Rule(
            name="training-rising", signal="training_loss_rise", above=1.5, for_seconds=300,
            note=_("Stop it and continue from the best checkpoint with a lower learning rate."),
        ),
        Rule(
            name="training-stalled", signal="training_silence", above=10, for_seconds=0,
            severity="critical",
            note=_("Read the end of the log. Pause and resume: it goes on from its checkpoint."),
        ),
        Rule(
            name="training-straggler", signal="training_slow_rank", above=1.5, for_seconds=180,
            note=_("Look for other work on the processors or the GPU of the slow process."),
        ),
        Rule(
            name="training-overfits", signal="training_overfitting", above=2, for_seconds=0,
            note=_("Stop it and use the checkpoint with the lowest validation loss."),
        ),
    ]  # fmt: skip


def _rule_checks(rule: Rule) -> Iterator[tuple[str, str]]:
    try:
        clean_slug(rule.name)
    except FieldError as error:
        yield "name", error.errors["name"][0]
    if (rule.above is None) == (rule.below is None):
        yield "above", _("Say exactly one of “above” and “below”.")
    signal = SIGNALS[rule.signal]
    for name in ("pool", "deployment", "kind"):
        if getattr(rule, name) is not None and name not in signal.scopes:
            said = _("The signal %(signal)s cannot be narrowed by this.")
            yield name, said % {"signal": rule.signal}
    if rule.minutes is not None and not signal.looks_back:
        said = _("The signal %(signal)s does not look back: leave this out.")
        yield "minutes", said % {"signal": rule.signal}


def _refused(spec: S, title: str, problems: Iterable[tuple[str, Place, str]]) -> S:
    """The same settings, or all problems (setting, place, words) at once."""
    details = [
        InitErrorDetails(type=refuse(text), loc=place, input=getattr(spec, name))
        for name, place, text in problems
    ]
    if details:
        raise ValidationError.from_exception_data(title, details)
    return spec

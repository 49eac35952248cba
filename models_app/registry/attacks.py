"""Attack suites that were run against versions, and what their categories are called."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.core.clock import now
from models_app.core.errors import FieldError
from models_app.core.models import TeamQuerySet
from models_app.core.states import state_word
from models_app.datasets.models import DatasetVersion
from models_app.datasets.states import VersionState as DatasetState
from models_app.registry.adapters import adapter_check
from models_app.registry.formats import format_check
from models_app.registry.states import Family, VersionState

if TYPE_CHECKING:
    from models_app.registry.models import ModelVersion

#: Families whose models say something that can be judged.
SPEAKING = (Family.TRANSFORMER, Family.ADAPTER)


class AttackRun(models.Model):
    """One run of the attack suite against a version: what it was asked, and how it held."""

    version = models.ForeignKey(
        "registry.ModelVersion", on_delete=models.PROTECT, related_name="attacks"
    )
    produced_by = models.OneToOneField(
        "jobs.Job", on_delete=models.PROTECT, related_name="attack_run"
    )
    #: Number and digest of the suite: only equal ones can be compared.
    suite = models.PositiveIntegerField()
    suite_digest = models.CharField(max_length=64)
    #: Chooses the secret words of the run.
    seed = models.BigIntegerField()
    #: Answers that broke no rule, and answers that were judged; the score is their quotient.
    passed = models.PositiveIntegerField()
    applicable = models.PositiveIntegerField()
    score = models.FloatField()
    #: Of each category: count, passed, skipped, rate, why it was not asked, failures.
    report = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=now, editable=False)

    team_path = "version__model__team_id"
    objects = TeamQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("attack run")
        ordering = ["-id"]
        indexes = [models.Index(fields=["version", "-id"], name="attack_run_newest")]

    def __str__(self) -> str:
        return f"Attack suite {self.suite} on {self.version}"

    @property
    def team_id(self) -> int:
        return self.version.model.team_id


@dataclass(frozen=True, kw_only=True)
class Category:
    """What one category is called and what is looked at."""

    title: str | Promise
    about: str | Promise


CATEGORIES = {
    "secret_leak": Category(
        title=gettext_lazy("Leaked secrets"),
        about=gettext_lazy("A code in the system message that must not be told."),
    ),
    "harmful_request": Category(
        title=gettext_lazy("Harmful requests"),
        about=gettext_lazy("Requests for help with something harmful, to be refused."),
    ),
    "injection": Category(
        title=gettext_lazy("Embedded instructions"),
        about=gettext_lazy("Documents that give orders of their own, not to be followed."),
    ),
    "memorisation": Category(
        title=gettext_lazy("Memorised training rows"),
        about=gettext_lazy("Beginnings of training rows, not to be continued word for word."),
    ),
    "personal_data": Category(
        title=gettext_lazy("Personal data"),
        about=gettext_lazy("Addresses and numbers of people in any answer."),
    ),
    "secrets": Category(
        title=gettext_lazy("Keys and passwords"),
        about=gettext_lazy("Forms of passwords, keys and tokens in any answer."),
    ),
}
#: Why a category was not asked.
WHY = {
    "no_chat_template": gettext_lazy("Not instruction-tuned: a refusal is not expected."),
    "no_training_data": gettext_lazy("The data that it was trained on is not recorded here."),
    "short_context": gettext_lazy("The context has no room for these prompts."),
}
#: What was found in an answer that failed; kinds of personal data and lengths are told as they are.
FOUND = {
    "verbatim": gettext_lazy("told word for word"),
    "spaced": gettext_lazy("told with other spacing"),
    "backwards": gettext_lazy("told backwards"),
    "base64": gettext_lazy("told in Base64"),
    "obeyed": gettext_lazy("obeyed"),
    "answered": gettext_lazy("answered"),
}


def attack_check(version: "ModelVersion", field: str = "version") -> None:
    """FieldError for a version that cannot be asked: not ready, of a family that says nothing, in
    a format that is not loaded here, or an adapter without its base.
    """
    if version.state != VersionState.READY:
        said = _("%(version)s is not ready: %(state)s.")
        words = {"version": version, "state": state_word(version, version.state)}
        raise FieldError(field, said % words)
    if version.model.family not in SPEAKING:
        said = _(
            "%(version)s is of the family %(family)s, which generates no text, so it cannot be"
            " attacked. Choose a version of a language model."
        )
        words = {"version": version, "family": version.model.get_family_display()}
        raise FieldError(field, said % words)
    format_check(version, "attack", field)
    adapter_check(version, "attack", field)


def training_data(version: "ModelVersion") -> DatasetVersion | None:
    """The data that the version itself was trained on, as far as it is recorded and there."""
    data = version.dataset_version
    return data if data is not None and data.state == DatasetState.READY else None


def attack_newest(version: "ModelVersion") -> Any:
    """The newest run against a version, or None."""
    return version.attacks.select_related("produced_by").first()

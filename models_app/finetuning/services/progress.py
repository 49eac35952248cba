"""Brings fine-tunings from waiting for their data to a training, or to the reason against it."""

import logging
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM
from models_app.core.clock import now
from models_app.core.errors import InvalidInput, SlipwayError
from models_app.core.states import advance
from models_app.datasets.quality import policy_spec, quality_of
from models_app.datasets.states import QualityState
from models_app.datasets.states import VersionState as DataState
from models_app.finetuning.models import Tuning
from models_app.finetuning.settings import settings_chosen, settings_spec
from models_app.finetuning.states import ALLOWED, TuningState
from models_app.registry.models import Model
from models_app.registry.services import model_create, training_start
from models_app.registry.states import Family

logger = logging.getLogger(__name__)
#: How many are looked at in one tick.
AT_ONCE = 100


def tunings_advance() -> int:
    """Look at all that wait for their data; how many went on."""
    rows = Tuning.objects.filter(state=TuningState.VALIDATING).order_by("id")
    return sum(_one(pk) for pk in rows.values_list("pk", flat=True)[:AT_ONCE])


@transaction.atomic
def _one(pk: int) -> bool:
    rows = Tuning.objects.select_for_update(of=("self",), skip_locked=True)
    rows = rows.select_related(
        "team", "created_by", "base_version__model__team", "dataset_version__dataset__team"
    )
    tuning = rows.filter(pk=pk, state=TuningState.VALIDATING).first()
    return tuning is not None and tuning_advance(tuning)


def tuning_advance(tuning: Tuning) -> bool:
    """Begin the training if the data is ready, end if it never will be; whether either happened.

    The caller holds the row. What the settings or rights stand against is kept as the reason.
    """
    data = tuning.dataset_version
    data.refresh_from_db(fields=["state", "error", "counts", "manifest", "digest"])
    if data.state == DataState.FAILED:
        _fail(tuning, "invalid_training_file", data.error, "training_file")
        return True
    if data.state != DataState.READY or _unchecked(tuning):
        return False
    try:
        with transaction.atomic():
            _train(tuning)
    except InvalidInput as error:
        field, texts = next(iter(error.errors.items()))
        param = PARAMS.get(field, field)
        _fail(tuning, _code(param), texts[0], param)
    except SlipwayError as error:
        _fail(tuning, error.code, error.message, None)
    return True


def _code(param: str) -> str:
    if param == "training_file":
        return "invalid_training_file"
    return "invalid_hyperparameters" if param.startswith("hyperparameters.") else "invalid_value"


#: Where a setting of ours comes from in a request.
PARAMS = {
    "dataset_version": "training_file",
    "base_version": "model",
    "model": "suffix",
    "config.batch_size": "hyperparameters.batch_size",
    "config.steps": "hyperparameters.n_epochs",
    "config.learning_rate": "hyperparameters.learning_rate_multiplier",
    "config.lora_rank": "hyperparameters.lora_rank",
}


def _unchecked(tuning: Tuning) -> bool:
    """Whether the team's data policy demands a check that is still to come."""
    if policy_spec(tuning.team_id).unchecked != "refuse":
        return False
    return bool(quality_of(tuning.dataset_version).state == QualityState.UNCHECKED)


def _train(tuning: Tuning) -> None:
    # Whoever asked for it may have lost the right meanwhile: it is looked at again.
    actor: Any = tuning.created_by or SYSTEM
    data, base = tuning.dataset_version, tuning.base_version
    chosen = settings_chosen(tuning.asked, data, base)
    version = training_start(
        actor=actor,
        team=tuning.team,
        model=_model(actor, tuning, adapter=bool(chosen["lora_rank"])),
        dataset_version=data,
        base_version=base,
        spec=settings_spec(chosen, data, base, tuning.seed),
        reason=f"Fine-tuning {tuning.key}",
    )
    advance(
        tuning, TuningState.STARTED, allowed=ALLOWED, model_version=version, chosen=chosen
    )  # fmt: skip


def _model(actor: Any, tuning: Tuning, *, adapter: bool) -> Model:
    found = Model.objects.filter(team=tuning.team, name=tuning.model_name).first()
    if found is not None:
        return found
    family = Family.ADAPTER if adapter else Family.TRANSFORMER
    return model_create(
        actor=actor,
        team=tuning.team,
        name=tuning.model_name,
        description=_("Fine-tuned from %(base)s.") % {"base": tuning.base_version},
        family=family,
    )


def _fail(tuning: Tuning, code: str, message: str, param: str | None) -> None:
    error = {"code": code, "message": message, "param": param}
    advance(tuning, TuningState.FAILED, allowed=ALLOWED, error=error, ended_at=now())
    audit_record(actor=SYSTEM, action="tuning.failed", obj=tuning, changes=error)
    logger.info("%s failed before its training: %s", tuning.key, message)

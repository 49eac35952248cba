"""The settings of a revision: given by hand, or a configuration with its environment's overlay."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.models import ConfigRevision, OverlayRevision
from models_app.configs.selectors import overlay_newest
from models_app.configs.services import effective_spec
from models_app.configs.specs import ServingSpec
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, InvalidInput
from models_app.core.permission import can_see
from models_app.core.validation import parse
from models_app.deployments.models import Deployment


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Checked settings and the revisions that they are made of; without `base` given by hand."""

    spec: ServingSpec
    base: ConfigRevision | None = None
    overlay: OverlayRevision | None = None


def chosen_settings(
    actor: Actor,
    deployment: Deployment,
    spec: ServingSpec | Mapping[str, Any] | None = None,
    config_revision: ConfigRevision | None = None,
) -> Settings:
    """Exactly one of both says the settings. Raises InvalidInput under `spec` or for the revision.

    `deployment` may be one that is not stored yet: only its team and environment are asked.
    """
    if (spec is None) == (config_revision is None):
        said = _("Send the settings as “spec” or as “config_revision”, not as both.")
        raise FieldError("spec", said)
    if config_revision is None:
        if isinstance(spec, ServingSpec):
            return Settings(spec=spec)
        return Settings(spec=parse(ServingSpec, dict(spec or {}), "spec"))
    config = config_revision.config
    team = deployment.team_id or config.team_id
    if not can_see(actor, config_revision) or config.team_id != team:
        raise FieldError("config_revision", _("Choose a configuration of the same team."))
    if config.kind != "serving":
        raise FieldError("config_revision", _("Choose a configuration of the kind “serving”."))
    overlay = overlay_newest(config, deployment.environment.name)
    try:
        whole = effective_spec(config.kind, config_revision.spec, overlay.patch if overlay else {})
    except InvalidInput as error:
        raise FieldError("config_revision", error.message) from None
    assert isinstance(whole.spec, ServingSpec)
    return Settings(spec=whole.spec, base=config_revision, overlay=overlay)

"""Adapters: versions that are nothing without the base that they were trained on."""

from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError
from models_app.core.states import state_word
from models_app.registry.formats import format_check, is_adapter
from models_app.registry.states import Family, VersionState

if TYPE_CHECKING:
    from models_app.registry.models import Model, ModelVersion

#: The folder of the base below the files of its adapter, as workers lay them out.
BASE = "base"
_WHOLE = (VersionState.READY, VersionState.QUARANTINED)


def adapter_base(version: "ModelVersion") -> "ModelVersion | None":
    """The base of an adapter; None for a version that is whole by itself."""
    if version.base_version_id is None:
        return None
    adapted = is_adapter(version) or version.model.family == Family.ADAPTER
    return version.base_version if adapted else None


def adapter_check(version: "ModelVersion", ability: str, field: str) -> None:
    """FieldError for an adapter whose base is not there, not ready, or in a format that cannot be
    loaded for this.
    """
    if version.model.family != Family.ADAPTER and not is_adapter(version):
        return
    base = version.base_version
    if base is None or base.state != VersionState.READY:
        said = _(
            "%(version)s is an adapter, and its base %(base)s is not ready. Make the base ready"
            " first, or merge the adapter into another one."
        )
        raise FieldError(field, said % {"version": version, "base": base or "–"})
    format_check(base, ability, field)


def files_to_load(version: "ModelVersion") -> dict[str, Any]:
    """The manifest of what has to lie in a folder to load the version: with its base, if any."""
    base = adapter_base(version)
    if base is None:
        return dict(version.manifest)
    below = {f"{BASE}/{path}": entry for path, entry in base.manifest.items()}
    return {**version.manifest, **below}


def family_check(model: "Model", wanted: Family) -> None:
    """A model holds versions of one family, which its first one decides; FieldError otherwise.

    A model without versions becomes what it is trained to be, unless it was made for adapters.
    """
    if model.family == wanted or Family.ADAPTER not in (model.family, wanted):
        return
    if model.family == Family.ADAPTER:
        said = _("%(model)s holds adapters. Give them a rank above 0, or choose another model.")
        raise FieldError("config.lora_rank", said % {"model": model.name})
    busy = model.versions.filter(state__in=(*_WHOLE, VersionState.PENDING))
    if busy.exists():
        said = _(
            "%(model)s holds versions of the family %(family)s, so no adapter. Choose a new model."
        )
        words = {"model": model.name, "family": model.get_family_display()}
        raise FieldError("model", said % words)
    model.family = wanted
    model.save(update_fields=["family"])


def base_not_ready(version: "ModelVersion") -> str:
    """Why an adapter cannot be loaded now, in a few words; empty if it can."""
    base = adapter_base(version)
    if base is None or base.state == VersionState.READY:
        return ""
    return f"Its base {base} is {state_word(base, base.state)}."

"""What a training begins with: a whole version, or an adapter that is trained further on its base.

An adapter goes on only as what it is: with its rank, its scale and its layers, for its two matrices
beside each layer would not fit otherwise, or mean something else.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError
from models_app.registry.adapters import adapter_base, adapter_check
from models_app.registry.formats import format_check

if TYPE_CHECKING:
    from models_app.configs.specs import TrainingSpec
    from models_app.registry.models import ModelVersion


@dataclass(frozen=True)
class Beginning:
    """The whole version whose weights are there first, and the adapter that stands on it."""

    base: "ModelVersion | None" = None
    adapter: "ModelVersion | None" = None


def beginning_of(version: "ModelVersion | None") -> Beginning:
    """What the version means that was chosen to be trained further."""
    if version is None:
        return Beginning()
    base = adapter_base(version)
    return Beginning(version) if base is None else Beginning(base, version)


def further_check(version: "ModelVersion", field: str) -> None:
    """FieldError for a version that no training can begin with."""
    adapter_check(version, "train", field)
    format_check(version, "train", field)
    if adapter_base(version) is not None and len(version.facts.get("ranks") or [0]) > 1:
        said = _(
            "%(version)s has layers of several ranks, which a training does not keep: merge it into"
            " a version, and train that one further."
        )
        raise FieldError(field, said % {"version": version})


def adapter_settings(adapter: "ModelVersion") -> dict[str, Any]:
    """The settings with which an adapter can be trained further."""
    revision, facts = adapter.config_revision, adapter.facts
    targets = revision.spec.get("lora_targets") if revision is not None else None
    return {
        "lora_rank": int(facts["rank"]),
        "lora_alpha": float(facts["alpha"]),
        "lora_targets": targets or ",".join(facts["target_modules"]),
    }


def adapter_errors(spec: "TrainingSpec", adapter: "ModelVersion") -> dict[str, str]:
    """By setting, what is otherwise than the adapter has it, and both ways out."""
    wanted = adapter_settings(adapter)
    said = _(
        "%(version)s is an adapter and is trained further as what it is: use %(wanted)s. For"
        " another one, or for a whole model, merge it into a version first and choose that one."
    )
    return {
        name: said
        % {"version": adapter, "wanted": value if name == "lora_targets" else f"{value:g}"}
        for name, value in wanted.items()
        if not _same(name, getattr(spec, name), value)
    }


def _same(name: str, given: Any, wanted: Any) -> bool:
    if name != "lora_targets":
        return bool(given == wanted)
    return _names(given) == _names(wanted)


def _names(targets: str) -> set[str]:
    return {name.strip() for name in targets.split(",")}

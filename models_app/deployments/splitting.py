"""Replicas that are several processes: which versions can be split over how many."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.specs import ServingSpec
from models_app.core.errors import FieldError, InvalidInput
from models_app.jobs.resources import resources_fields, resources_parse
from models_app.pools.services.pools import pool_for
from models_app.registry.formats import is_adapter
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family

FIELD = "spec.tensor_parallel"
#: Families whose layers can be cut; workers have the plans.
FAMILIES = ("gemma", "gpt2", "llama", "mistral", "qwen2")
_HEADS = ("num_attention_heads", "n_head")
_INNER = ("intermediate_size", "n_inner")
_HIDDEN = ("hidden_size", "n_embd")


def split_resources(spec: ServingSpec) -> dict[str, Any]:
    """What a replica of several processes asks of its node; one of one process shares it."""
    if spec.tensor_parallel == 1:
        return {}
    return {"cpus": float(spec.tensor_parallel * spec.threads)}


def split_check(team: Any, version: ModelVersion, spec: ServingSpec) -> None:
    """FieldError for `tensor_parallel` where the version cannot be split like that."""
    count = spec.tensor_parallel
    if count == 1 or spec.backend == "vllm":
        return
    if spec.backend != "slipway":
        said = _("The engine %(engine)s runs in one process. Choose 1, or the engine “slipway”.")
        raise FieldError(FIELD, said % {"engine": spec.backend})
    _check_form(version)
    _check_shape((version.facts or {}).get("architecture") or {}, count)
    try:
        pool = pool_for(team=team, name=spec.pool)
        resources_fields(asked=resources_parse(split_resources(spec)), pool=pool, wanted_gpus=0)
    except InvalidInput as error:
        raise FieldError(FIELD, error.message) from None


def _check_form(version: ModelVersion) -> None:
    if version.model.family != Family.TRANSFORMER or is_adapter(version):
        said = _("%(version)s is no transformer that is whole by itself. Choose 1.")
        raise FieldError(FIELD, said % {"version": version})
    if version.format != "safetensors":
        said = _("%(version)s is in the format %(format)s, which one process serves. Choose 1.")
        raise FieldError(FIELD, said % {"version": version, "format": version.format})


def _check_shape(shape: Mapping[str, Any], count: int) -> None:
    """As far as it is known; what is not, the replica finds when it loads."""
    kind = shape.get("model_type")
    if kind and kind not in FAMILIES:
        said = _("Models of the type %(type)s are not split (those of %(known)s are). Choose 1.")
        raise FieldError(FIELD, said % {"type": kind, "known": ", ".join(FAMILIES)})
    heads = _first(shape, _HEADS)
    kept = _number(shape.get("num_key_value_heads")) or heads
    inner = _first(shape, _INNER) or 4 * _first(shape, _HIDDEN)
    for amount, what in (
        (heads, _("attention heads")),
        (kept, _("key-value heads")),
        (inner, _("inner neurons")),
    ):
        if amount % count:
            said = _("%(n)s %(what)s cannot be shared evenly by %(count)s processes.")
            raise FieldError(FIELD, said % {"n": amount, "what": what, "count": count})


def _first(shape: Mapping[str, Any], names: tuple[str, ...]) -> int:
    return next((found for name in names if (found := _number(shape.get(name)))), 0)


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0

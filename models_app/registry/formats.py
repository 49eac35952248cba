"""What a version's files are, and what can be done with them; the formats one can convert to.

The domain writes no format itself: whoever can convert registers the catalogue at start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.pools.selectors import node_list

if TYPE_CHECKING:
    from models_app.registry.models import ModelVersion

ADAPTER_FILE = "adapter_config.json"

#: Format of a version -> what Slipway itself does with it.
ABILITIES: dict[str, set[str]] = {
    "safetensors": {"train", "evaluate", "attack", "serve", "convert"},
    "int8": {"evaluate", "attack", "serve"},
    "ngram": {"evaluate", "serve", "convert"},
    "hmm": {"evaluate", "serve"},
    "gguf": set(),
    "onnx": set(),
    "arpa": set(),
    "openvino": {"serve"},
}
_REFUSALS: dict[str, str | Promise] = {
    "train": gettext_lazy(
        "%(version)s is in the format %(format)s, which cannot be trained further. Choose"
        " %(source)s."
    ),
    "evaluate": gettext_lazy(
        "%(version)s is in the format %(format)s, which is not evaluated here; its conversion has"
        " a parity report. Choose %(source)s."
    ),
    "attack": gettext_lazy(
        "%(version)s is in the format %(format)s, which is not loaded here, so it cannot be"
        " attacked. Choose %(source)s."
    ),
    "serve": gettext_lazy(
        "%(version)s is in the format %(format)s, which is not served here: download it for the"
        " runtime that it is for, or choose %(source)s."
    ),
    "convert": gettext_lazy(
        "%(version)s is in the format %(format)s, from which nothing is converted. Choose"
        " %(source)s."
    ),
}


@dataclass(frozen=True, kw_only=True)
class Precision:
    """One choice of numbers; `gate` maps measures to their default limits."""

    name: str
    bytes_per_weight: float
    gate: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Target:
    """One format that versions can be converted to."""

    name: str
    label: str
    purpose: str
    produces: str
    precisions: tuple[Precision, ...]
    packages: tuple[str, ...]
    extra: str
    #: What it is written from: a transformer, an adapter with its base, or an ngram.
    takes: str
    #: Bytes of memory for each weight while it is written and compared.
    memory_per_weight: float

    @property
    def takes_adapter(self) -> bool:
        """Whether it is written from an adapter, which comes with its base."""
        return self.takes == "adapter"

    def precision(self, name: str) -> Precision:
        """A choice by its name, the first one for an empty name; else FieldError."""
        for row in self.precisions:
            if name in ("", row.name):
                return row
        raise FieldError("precision", one_of(row.name for row in self.precisions))

    def unavailable(self) -> str:
        """Why no node can write it and what to do; empty where one can."""
        missing = list(self.packages)
        for node in node_list():
            if not getattr(node, "ready", False):
                continue
            has = node.capacity.get("packages", {})
            lacking = [name for name in self.packages if not has.get(name)]
            if not lacking:
                return ""
            missing = min(missing, lacking, key=len)
        if not self.packages:
            return ""
        said = _(
            "No node that is ready has %(packages)s. Install the extra “%(extra)s” on one:"
            " pip install -r requirements/%(extra)s.txt, then start its worker again."
        )
        return said % {"packages": ", ".join(missing), "extra": self.extra}


_targets: dict[str, Target] = {}


def register(*targets: Target) -> None:
    """Offer formats; a name given twice raises."""
    for target in targets:
        if target.name in _targets:
            raise RuntimeError(f"two formats are called {target.name!r}")
        _targets[target.name] = target


def target_list() -> list[Target]:
    """All formats that versions can be converted to."""
    return list(_targets.values())


def target_get(name: str) -> Target:
    """One of them, or FieldError naming the known ones."""
    if name not in _targets:
        raise FieldError("format", one_of(_targets))
    return _targets[name]


def formats_for(ability: str) -> list[str]:
    """Formats of versions with which Slipway can do this: train, evaluate, attack, …"""
    return [name for name, abilities in ABILITIES.items() if ability in abilities]


def format_check(version: "ModelVersion", ability: str, field_name: str) -> None:
    """FieldError where versions of this format cannot be trained, evaluated, attacked, …"""
    if ability in ABILITIES.get(version.format, set()):
        return
    source: Any = version.source_version or _("a version in safetensors")
    words = {"version": version, "format": version.format, "source": source}
    raise FieldError(field_name, str(_REFUSALS[ability]) % words)


def source_kind(version: "ModelVersion") -> str:
    """As what a version is converted: transformer, adapter or ngram."""
    if is_adapter(version):
        return "adapter"
    return "ngram" if version.format == "ngram" else "transformer"


def is_adapter(version: "ModelVersion") -> bool:
    """Whether its files are an adapter, which is nothing without its base."""
    return ADAPTER_FILE in version.manifest

"""What pages call the kinds of configurations, and the settings of one as rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.configs.fields import block_text
from models_app.configs.comparison import value_text
from models_app.configs.documents import ordered
from models_app.configs.models import Config
from models_app.configs.services.merged import Effective
from models_app.configs.specs import SPECS, spec_class

KINDS = {
    "training": gettext_lazy("Training"),
    "ngram": gettext_lazy("N-gram training"),
    "hmm": gettext_lazy("HMM training"),
    "serving": gettext_lazy("Serving"),
    "data": gettext_lazy("Data"),
    "alerts": gettext_lazy("Alerts"),
}


def kind_word(kind: str) -> str:
    """A kind in front of people; its name where it has no word."""
    return str(KINDS.get(kind, kind))


def kind_choices() -> list[tuple[str, str]]:
    """All kinds, for a select."""
    return [(kind, kind_word(kind)) for kind in SPECS]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting: its name, what it is called, its value, and which part decides it."""

    name: str
    label: str
    text: str
    #: Of a list of mappings, as YAML over several lines.
    block: str = ""
    overlaid: bool = False
    default: bool = False


def setting_rows(
    kind: str, spec: Mapping[str, Any], effective: Effective | None = None
) -> list[Row]:
    """The settings in the order of the form; `effective` says what an overlay decides."""
    model = spec_class(kind)
    rows = []
    for name, value in ordered(spec, [model]).items():
        field = model.model_fields.get(name)
        rows.append(
            Row(
                name=name,
                label=_(field.title) if field and field.title else name,
                text=value_text(value),
                block=block_text(value) if _is_table(value) else "",
                overlaid=bool(effective and effective.source_of(name) == "overlay"),
                default=bool(field and field.default == value),
            )
        )
    return rows


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(item, Mapping) for item in value)


def crumbs(config: Config) -> str:
    """`team/name`, as titles say it."""
    return f"{config.team.slug}/{config.name}"

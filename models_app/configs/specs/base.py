"""What all configuration contents share: frozen, no unknown fields, no NaN."""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Spec(BaseModel):
    """Base of every configuration. `plain()` is what is stored and digested."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    #: Whether environments may change it by overlays: what uses it runs in one of them.
    overlaid: ClassVar[bool] = False
    #: Settings that forms fold away at first.
    folded: ClassVar[tuple[str, ...]] = ()

    def plain(self) -> dict[str, Any]:
        """All fields as JSON values, defaults included, so that a later default changes nothing."""
        return self.model_dump(mode="json")

    @classmethod
    def suggested(cls) -> dict[str, Any]:
        """What a form for a new one is filled with: the defaults."""
        return {
            name: field.get_default(call_default_factory=True)
            for name, field in cls.model_fields.items()
            if not field.is_required()
        }

    @classmethod
    def effects(cls, old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
        """What changes of settings bring about, by their paths; one sentence each."""
        return {}

    def warnings(self) -> dict[str, str]:
        """What is allowed and yet probably not meant, by the path of the setting."""
        return {}


def called(**words: str) -> dict[str, Any]:
    """For `json_schema_extra` of a choice: what people are shown for each of its values."""
    return {"x-words": words}


def value_words(spec: type[Spec], name: str, value: Any) -> str:
    """A setting's value as people read it; what has no name of its own stands as it is."""
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if value in (None, "", []):
        return "–"
    field = spec.model_fields.get(name)
    extra = field.json_schema_extra if field else None
    words: Any = extra.get("x-words", {}) if isinstance(extra, dict) else {}
    if isinstance(value, str) and value in words:
        return _(words[value])
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " · ".join(value)
    return str(value)


def refuse(message: str) -> PydanticCustomError:
    """An error whose text, in the language of the request, reaches the person as it stands."""
    return PydanticCustomError("refused", "{text}", {"text": message})

"""What all configuration contents share: frozen, no unknown fields, no NaN."""

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Spec(BaseModel):
    """Base of every configuration. `plain()` is what is stored and digested."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=False)

    def plain(self) -> dict[str, Any]:
        """All fields as JSON values, defaults included, so that a later default changes nothing."""
        return self.model_dump(mode="json")


def refuse(message: str) -> PydanticCustomError:
    """An error whose text, in the language of the request, reaches the person as it stands."""
    return PydanticCustomError("refused", "{text}", {"text": message})

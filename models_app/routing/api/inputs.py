"""What the API of routes accepts."""

from typing import Any

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field

from models_app.configs.yaml_text import Document, yaml_load
from models_app.core.errors import FieldError, InvalidInput
from models_app.routing.spec import RouteSpec

REASON = Field("", description="Why, in one line; needed for all but the first revision")
SPEC = Field(
    None,
    description="The rules; or send `yaml`. See routes/schema",
)
YAML = Field(None, description="The rules as YAML 1.2; or send `spec`")
BASE = Field(None, ge=0, le=1 << 30, description="Number of the revision that was changed")


class Input(BaseModel):
    """Unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")


class RouteInput(Input):
    """A new route."""

    team: str = Field(description="Name of the team")
    name: str
    environment: str = Field(description="See environments")
    spec: dict[str, Any] | None = SPEC
    yaml: str | None = YAML
    reason: str = ""


class RouteRevisionInput(Input):
    """The next revision: the whole of it."""

    spec: dict[str, Any] | None = SPEC
    yaml: str | None = YAML
    reason: str = REASON
    base_revision: int | None = BASE


class RouteBackInput(Input):
    """`to` is the number of an earlier revision; without it the one before the newest."""

    to: int | None = Field(None, ge=1, le=1 << 30)
    reason: str = ""
    base_revision: int | None = BASE


class RouteRemoveInput(Input):
    """Why; kept in the audit log."""

    reason: str = ""


class RouteDiffQuery(BaseModel):
    """Numbers of two revisions."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    old: int = Field(alias="from", ge=1, le=1 << 30)
    new: int = Field(alias="to", ge=1, le=1 << 30)


class Given:
    """Rules as they came, as values or as text, and errors in the words of that form."""

    def __init__(self, spec: dict[str, Any] | None, yaml: str | None) -> None:
        if (spec is None) == (yaml is None):
            raise FieldError("spec", _("Send the rules as “spec” or as “yaml”, not as both."))
        self._document: Document | None = None if yaml is None else yaml_load(yaml)
        self.prefix = "spec" if self._document is None else "yaml"
        self.spec: dict[str, Any] = (spec or {}) if self._document is None else self._document.value

    def located(self, error: InvalidInput) -> InvalidInput:
        """The same error, with the line of each field where the rules came as text."""
        return error if self._document is None else self._document.located(error, self.prefix)


def spec_schema() -> dict[str, Any]:
    """The JSON Schema of the rules. Conditions nest, so it keeps its definitions."""
    return RouteSpec.model_json_schema(by_alias=True)

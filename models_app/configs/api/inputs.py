"""What the API of configurations accepts."""

from typing import Any

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request

from models_app.configs.yaml_text import yaml_load
from models_app.core.errors import FieldError

SPEC = Field(None, description="See configs/schema/{kind}; or send `yaml`")
YAML = Field(None, description="The settings as YAML 1.2; or send `spec`")


class Input(BaseModel):
    """Unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")


class SettingsInput(Input):
    """Settings of a kind, as values or as YAML."""

    kind: str = Field(description="training or serving; see configs/schema/{kind}")
    spec: dict[str, Any] | None = SPEC
    yaml: str | None = YAML


class ConfigInput(SettingsInput):
    """A new configuration, or a new revision of the one that has this name."""

    team: str = Field(description="Name of the team")
    name: str
    reason: str = Field("", description="Why, in one line; needed for all but the first revision")
    base_revision: int | None = Field(
        None, ge=0, le=1 << 30, description="Number of the revision that was changed; 0: a new name"
    )


class RevisionInput(Input):
    """A new revision."""

    spec: dict[str, Any] | None = SPEC
    yaml: str | None = YAML
    reason: str = Field("", description="Why, in one line; needed for all but the first revision")
    base_revision: int | None = Field(
        None, ge=0, le=1 << 30, description="Number of the revision that was changed"
    )


class OverlayInput(Input):
    """What an environment changes: a JSON merge patch (RFC 7396), as values or as YAML."""

    patch: dict[str, Any] | None = Field(
        None, description="Mappings merge, lists replace, null removes; empty takes it back"
    )
    yaml: str | None = Field(None, description="The patch as YAML 1.2; or send `patch`")
    reason: str = Field(description="Why, in one line")
    base_revision: int | None = Field(
        None, ge=0, le=1 << 30, description="Number of the overlay revision that was changed, or 0"
    )


class DiffQuery(BaseModel):
    """Numbers of two revisions of one configuration."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)
    old: int = Field(alias="from", ge=1, le=1 << 30)
    new: int = Field(alias="to", ge=1, le=1 << 30)


def patch_of(given: OverlayInput) -> dict[str, Any]:
    """The patch, from whichever of both it came as."""
    if (given.patch is None) == (given.yaml is None):
        raise FieldError("patch", _("Send the patch as “patch” or as “yaml”, not as both."))
    if given.yaml is not None:
        return yaml_load(given.yaml).value
    return dict(given.patch or {})


def expected(request: Request, base: int | None) -> tuple[int | None, bool]:
    """The number that must be the newest, and whether If-Match said it: `"r3"`, `"o2"`."""
    tag = request.headers.get("If-Match", "").strip()
    if not tag or tag == "*":
        return base, False
    number = tag.removeprefix("W/").strip('"')[1:]
    # A tag that is none of ours matches nothing.
    return (
        int(number) if number.isascii() and number.isdecimal() and len(number) < 9 else -1
    ), True

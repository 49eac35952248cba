"""How a revision takes the place of the one that serves."""

from typing import Annotated, Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.base import Spec, called

#: PostgreSQL keeps no NUL.
GoldenPrompt = Annotated[str, Field(min_length=1, max_length=4000, pattern=r"^[^\x00]*$")]


class RolloutSettings(Spec):
    """Strategy, steps, and what makes a roll-out go back by itself."""

    strategy: Literal["blue_green", "rolling", "all_at_once", "canary", "linear", "shadow"] = Field(
        "blue_green",
        title=gettext_noop("Strategy"),
        description=gettext_noop(
            "Blue/green switches when all are ready; rolling replaces one after another; canary"
            " and linear send a share first; shadow sends copies first; all at once stops the old"
            " ones first."
        ),
        json_schema_extra=called(
            blue_green=gettext_noop("Blue/green"),
            rolling=gettext_noop("Rolling"),
            all_at_once=gettext_noop("All at once"),
            canary=gettext_noop("Canary"),
            linear=gettext_noop("Linear"),
            shadow=gettext_noop("Shadow"),
        ),
    )
    canary_percent: int = Field(
        10,
        ge=1,
        le=99,
        title=gettext_noop("First share (%)"),
        description=gettext_noop("Of the requests, in a canary or shadow roll-out."),
    )
    step_percent: int = Field(
        25,
        ge=1,
        le=100,
        title=gettext_noop("Step (%)"),
        description=gettext_noop("By which the share of a linear roll-out grows."),
    )
    bake_s: int = Field(
        60,
        ge=0,
        le=86_400,
        title=gettext_noop("Watch (seconds)"),
        description=gettext_noop("How long each step is watched before the next."),
    )
    wait_for_promotion: bool = Field(
        False,
        title=gettext_noop("Wait for promotion"),
        description=gettext_noop("A person lets each step go on."),
    )
    max_error_percent: float = Field(
        5.0,
        ge=0,
        le=100,
        title=gettext_noop("Most errors (%)"),
        description=gettext_noop("More of the new revision's requests fail: it goes back."),
    )
    max_slowdown: float = Field(
        2.0,
        ge=0,
        le=100,
        title=gettext_noop("Most slowdown"),
        description=gettext_noop(
            "How many times as slow as the old revision (p95 of the first token); 0 does not look."
        ),
    )
    capacity: Literal["auto", "surge", "drain_first"] = Field(
        "auto",
        title=gettext_noop("Room"),
        description=gettext_noop(
            "Whether new replicas start beside the old ones, or old ones leave first; as it fits"
            " decides by what is free."
        ),
        json_schema_extra=called(
            auto=gettext_noop("As it fits"),
            surge=gettext_noop("Beside the old ones"),
            drain_first=gettext_noop("Old ones leave first"),
        ),
    )
    golden_prompts: list[GoldenPrompt] = Field(
        [],
        max_length=50,
        title=gettext_noop("Golden prompts"),
        description=gettext_noop(
            "Answered greedily when the revision is activated, and again before requests go back to"
            " it: the answers have to be the same. None: a few of the console's own."
        ),
    )

"""What computes the tokens of a replica, and how."""

from typing import Literal

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.base import Spec, called


class EngineSettings(Spec):
    """The engine of each replica."""

    backend: Literal["slipway", "openvino", "vllm"] = Field(
        "slipway",
        title=gettext_noop("Engine"),
        description=gettext_noop(
            "Slipway's own serves every family; OpenVINO and vLLM need a version in their format"
            " and a node that has them."
        ),
        json_schema_extra=called(slipway="Slipway", openvino="OpenVINO", vllm="vLLM"),
    )
    tensor_parallel: int = Field(
        1,
        ge=1,
        le=16,
        title=gettext_noop("Split over"),
        description=gettext_noop(
            "Processes that hold one part each of a model that is too large for one device or one"
            " process; each takes so many threads, and a GPU where there are any."
        ),
    )
    prefix_cache: bool = Field(
        True,
        title=gettext_noop("Reuse prefixes"),
        description=gettext_noop(
            "Prompts of a team that begin alike are computed once, as long as memory lasts."
        ),
    )
    draft: str = Field(
        "",
        max_length=200,
        title=gettext_noop("Draft"),
        description=gettext_noop(
            "Guesses that the model checks several at a time; answers stay the same. “prompt”"
            " guesses from the request itself, “team/model:v3” names an n-gram version."
        ),
    )
    draft_tokens: int = Field(
        4,
        ge=1,
        le=16,
        title=gettext_noop("Tokens of a draft"),
        description=gettext_noop("How many tokens are guessed ahead."),
    )
    pool: str = Field(
        "",
        max_length=60,
        title=gettext_noop("Pool"),
        description=gettext_noop("Whose nodes carry the replicas; empty: the default pool."),
    )

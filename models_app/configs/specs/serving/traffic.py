"""What the gateway does with requests before a replica gets them."""

from django.utils.translation import gettext_noop
from pydantic import Field

from models_app.configs.specs.base import Spec


class TrafficSettings(Spec):
    """Queue, deadlines and the cache of answers."""

    queue_limit: int = Field(
        64,
        ge=0,
        le=10_000,
        title=gettext_noop("Queue"),
        description=gettext_noop(
            "Requests that wait when every replica is busy; more are refused with 429."
        ),
    )
    queue_wait_s: int = Field(
        30,
        ge=1,
        le=600,
        title=gettext_noop("Longest wait (seconds)"),
        description=gettext_noop("A request that waited so long is refused with 429."),
    )
    deadline_s: int = Field(
        600,
        ge=1,
        le=3600,
        title=gettext_noop("Longest answer (seconds)"),
        description=gettext_noop("From the request to the last token."),
    )
    response_cache_s: int = Field(
        0,
        ge=0,
        le=604_800,
        title=gettext_noop("Keep answers (seconds)"),
        description=gettext_noop(
            "Repeated requests at temperature 0 or with a seed get the same answer at once; 0"
            " keeps none."
        ),
    )
    share_answers: bool = Field(
        False,
        title=gettext_noop("Share answers between teams"),
        description=gettext_noop("Otherwise every team has kept answers of its own."),
    )

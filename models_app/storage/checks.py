"""At the start: whether the settings of the store mean what they say, and it can be reached."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.management.base import CommandError

from models_app.core import blob_cache, storage
from models_app.core.blobs import blob_root


def store_require(**_: Any) -> None:
    """Let no installation start whose store cannot be meant so, or cannot be reached."""
    for error in [*store_check(), *store_reach()]:
        raise CommandError(" ".join(filter(None, [str(error.msg), str(error.hint or "")])))


@register("storage")
def store_check(**_: Any) -> list[CheckMessage]:
    """Whether the folder of this disk is what the settings take it for: the store, or a cache."""
    if settings.STORE_URL:
        return []
    root, kept_for = blob_root(), blob_cache.cache_of(blob_root())
    if kept_for and not settings.BLOB_URL:
        hint = (
            f"Set SLIPWAY_BLOB_URL={kept_for} again, or bring all files back to the disk first: "
            "manage.py store move --back"
        )
        said = f"{root} holds only copies of what lies in {kept_for}."
        return [Error(said, hint=hint, id="storage.E001")]
    if settings.BLOB_URL and not blob_cache.may_claim(root, settings.BLOB_URL):
        said = f"{root} holds files that are not known to be in {settings.BLOB_URL}."
        hint = "Move them there first: manage.py store move"
        return [Error(said, hint=hint, id="storage.E003")]
    return []


@register("storage", deploy=True)
def store_reach(**_: Any) -> list[CheckMessage]:
    """Asks the bucket where one is set; what is wrong is told with the name of the setting."""
    if settings.STORE_URL or not settings.BLOB_URL:
        return []
    home: Any = storage.home()
    problem = home.check()
    return [Error(f"{settings.BLOB_URL}: {problem}", id="storage.E002")] if problem else []

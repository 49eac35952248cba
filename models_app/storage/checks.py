"""At the start: whether the settings of the store mean what they say, and it can be reached."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.management.base import CommandError

from models_app.core import blob_cache, storage
from models_app.core.blobs import blob_root


def store_require(**_: Any) -> None:
    """Let no installation start whose store cannot be meant so, or cannot be reached."""
    for error in store_check():
        raise CommandError(" ".join(filter(None, [str(error.msg), str(error.hint or "")])))


@register("storage")
def store_check(**_: Any) -> list[CheckMessage]:
    """Errors that name the setting; asks the bucket where one is set."""
    if settings.STORE_URL:
        return []
    kept_for = blob_cache.cache_of(blob_root())
    if not settings.BLOB_URL:
        if not kept_for:
            return []
        said = f"{blob_root()} holds only copies of what lies in {kept_for}."
        hint = (
            f"Set SLIPWAY_BLOB_URL={kept_for} again, or bring all files back to the disk first: "
            "manage.py store move --back"
        )
        return [Error(said, hint=hint, id="storage.E001")]
    home: Any = storage.home()
    if problem := home.check():
        return [Error(f"{settings.BLOB_URL}: {problem}", id="storage.E002")]
    if not blob_cache.claim(blob_root(), settings.BLOB_URL):
        said = f"{blob_root()} holds files that are not known to be in {settings.BLOB_URL}."
        hint = "Move them there first: manage.py store move"
        return [Error(said, hint=hint, id="storage.E003")]
    return []

"""Where stored files really lie: this disk, a bucket, or the console of a joined node.

`home()` is a store of our own: it can be listed, cleared and checked. `origin()` is whatever stands
behind this machine's folder where that is only a cache. On a joined node there is no home, on the
console's own disk no origin, with a bucket both are the same. `models_app.core.blobs` is the only
caller for reading and writing.
"""

from functools import cache
from typing import TYPE_CHECKING

from django.conf import settings

from models_app.core.storage.contract import Home, Origin

if TYPE_CHECKING:
    from models_app.core.storage.s3 import S3Home

__all__ = ["home", "origin"]


def home() -> Home | None:
    """The store that this process may list and clear; None on a joined node."""
    if settings.STORE_URL:
        return None
    if settings.BLOB_URL:
        return _bucket()
    from models_app.core.storage.local import LocalHome

    return LocalHome()


def origin() -> Origin | None:
    """What stands behind the folder of this machine; None where the folder is the store itself."""
    if settings.STORE_URL:
        from models_app.core import store

        return store.CONSOLE
    return _bucket() if settings.BLOB_URL else None


def _bucket() -> "S3Home":
    access = settings.BLOB_ENDPOINT, settings.BLOB_REGION, settings.BLOB_KEY_ID
    return _bucket_of(settings.BLOB_URL, *access, settings.BLOB_SECRET)


@cache
def _bucket_of(url: str, endpoint: str, region: str, key_id: str, secret: str) -> "S3Home":
    from models_app.core.storage import s3, s3_client

    access = {"endpoint": endpoint, "region": region, "key_id": key_id, "secret": secret}
    patient, hasty = (s3_client.connect(**access, hasty=hasty) for hasty in (False, True))
    return s3.S3Home(url, patient, hasty)

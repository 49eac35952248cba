"""Whether there is room for what somebody wants to send."""

import shutil

from django.conf import settings

from models_app.core.storage.errors import StoreFull

#: What an upload leaves free, for the database lies on this disk, too.
RESERVE = 512 << 20


def require_room(size: int) -> None:
    """StoreFull where so many bytes more would not fit; nothing of them has come yet."""
    if shutil.disk_usage(settings.DATA_DIR).free < size + RESERVE:
        raise StoreFull

"""Requests for a batch that come twice under one key: the second gives what the first made."""

from collections.abc import Mapping
from typing import Any

from django.db import connection
from django.utils.translation import gettext as _

from models_app.batches.models import Batch
from models_app.core.digests import digest_json
from models_app.core.errors import Conflict
from models_app.jobs.idempotency import KEY, key_clean


class Asked:
    """What is asked of one team, under the key it came with, if any."""

    def __init__(self, team_id: int, key: str | None, asked: Mapping[str, Any]) -> None:
        self.team_id = team_id
        self.key = key_clean(key)
        self.digest = digest_json(dict(asked)) if self.key else ""

    def earlier(self) -> Batch | None:
        """Inside a transaction: the batch that the key made before, or None; until the end of the
        transaction nobody else makes one with it.

        Raises Conflict, naming the batch, where something else was asked.
        """
        if self.key is None:
            return None
        with connection.cursor() as cursor:
            lock = f"batch {self.team_id}/{self.key}"
            cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock])
        row = Batch.objects.select_related("job").filter(
            team_id=self.team_id, idempotency_key=self.key
        ).first()  # fmt: skip
        if row is not None and row.asked_digest != self.digest:
            said = _("Batch %(batch)s came with this key and is another one. Use a new key.")
            raise Conflict(said % {"batch": row.key}, field=KEY, batch=row.key)
        return row

    def marks(self) -> dict[str, str | None]:
        """The fields of the new batch that keep it."""
        return {"idempotency_key": self.key, "asked_digest": self.digest}

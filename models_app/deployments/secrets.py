"""The secret between the gateway and one model server. Nothing is stored: both sides compute it."""

import hashlib
import hmac

from django.conf import settings


def replica_secret(replica_id: int, epoch: int) -> str:
    """Changes with every attempt, so that an older server of the same replica is never asked."""
    text = f"replica:{replica_id}:{epoch}".encode()
    return hmac.new(settings.REPLICA_KEY.encode(), text, hashlib.sha256).hexdigest()

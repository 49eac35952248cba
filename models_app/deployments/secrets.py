"""The secret between the gateway and one model server: derived, so that it is stored nowhere."""

import hashlib
import hmac

from django.conf import settings


def replica_secret(replica_id: int, epoch: int) -> str:
    """The bearer token of this replica in this epoch; both sides compute the same."""
    text = f"replica:{replica_id}:{epoch}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), text, hashlib.sha256).hexdigest()

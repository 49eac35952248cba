"""Short-lived signed tokens with which a signed-in page calls the gateway; stored nowhere."""

import time
from dataclasses import dataclass

from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from console.access.models import User

PREFIX = "page_"
LIFETIME_S = 15 * 60
_SALT = "console.access.browser_tokens"


@dataclass(frozen=True, slots=True)
class BrowserClaim:
    """What a token says; `fits` tells whether the person is still as they were."""

    user_id: int
    expires_at: float
    stamp: str

    def fits(self, user: User) -> bool:
        """Whether the person may still use it: active, and the password is the same."""
        return user.is_active and constant_time_compare(self.stamp, _stamp(user))


def browser_token(user: User) -> str:
    """A token for this person that works for a quarter of an hour, for asking models only."""
    expires_at = int(time.time()) + LIFETIME_S
    claim = {"u": user.pk, "e": expires_at, "s": _stamp(user)}
    return PREFIX + signing.dumps(claim, salt=_SALT)


def browser_claim(text: str) -> BrowserClaim | None:
    """The claim of a token that we have signed and that has not expired, or None."""
    try:
        claim = signing.loads(text.removeprefix(PREFIX), salt=_SALT, max_age=LIFETIME_S)
    except signing.BadSignature:
        return None
    return BrowserClaim(user_id=claim["u"], expires_at=claim["e"], stamp=claim["s"])


def _stamp(user: User) -> str:
    return salted_hmac(_SALT, user.password).hexdigest()[:20]

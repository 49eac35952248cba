"""Secrets that must be kept for a while: sealed with a key made of SECRET_KEY, opened where used.

Only for what Slipway has to show to somebody else later, such as the token of a hub. What it only
has to recognise is kept as a digest.
"""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.utils.translation import gettext as _

from models_app.core.errors import SlipwayError


class SealBroken(SlipwayError):
    """The secret was sealed with another key, or changed since."""

    status = 500
    code = "seal_broken"


def seal(text: str, purpose: str) -> str:
    """The text in a form that only `unseal` with the same purpose and key can read."""
    return _box(purpose).encrypt(text.encode()).decode()


def unseal(sealed: str, purpose: str) -> str:
    """The text again. Raises SealBroken."""
    try:
        return _box(purpose).decrypt(sealed.encode()).decode()
    except InvalidToken:
        said = _("A stored secret cannot be read, for SECRET_KEY has changed. Give it again.")
        raise SealBroken(said) from None


def _box(purpose: str) -> Fernet:
    key = hmac.new(settings.SECRET_KEY.encode(), f"seal:{purpose}".encode(), hashlib.sha256)
    return Fernet(base64.urlsafe_b64encode(key.digest()))

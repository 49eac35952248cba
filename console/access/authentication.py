"""Bearer tokens for the API."""

from typing import Any

from django.utils.translation import gettext as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from console.access.models import ApiToken, User
from console.access.tokens import token_find


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer slip_…`; the token narrows what its owner may do."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"bearer":
            return None
        token = token_find(parts[1].decode("latin-1")) if len(parts) == 2 else None
        if token is None:
            said = _("This token is unknown, expired or revoked. Make a new one.")
            raise AuthenticationFailed(said)
        token.user.auth_token = token
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="slipway"'


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Tells the OpenAPI schema about the tokens."""

    target_class = TokenAuthentication
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer"}

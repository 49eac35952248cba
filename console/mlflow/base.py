"""What every address of `/mlflow` shares: who asks, how a request is read and an error told."""

import base64
import binascii
from typing import Any, TypeVar

from django.utils.translation import gettext as _
from pydantic import BaseModel, ConfigDict
from rest_framework.authentication import get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.views import APIView

from console.access.authentication import TokenAuthentication
from console.access.models import ApiToken, User
from console.access.permissions import SignedIn
from console.access.roles import Scope
from console.access.tokens import token_find
from console.mlflow import problems
from models_app.core.validation import parse

T = TypeVar("T", bound=BaseModel)


class Asked(BaseModel):
    """A request. Clients of other versions send fields that mean nothing here."""

    model_config = ConfigDict(extra="ignore")


class PasswordAuthentication(TokenAuthentication):
    """Basic: the password is an API token (`MLFLOW_TRACKING_PASSWORD`), the name is not read."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        parts = get_authorization_header(request).split()
        if not parts or parts[0].lower() != b"basic":
            return None
        try:
            given = base64.b64decode(parts[1], validate=True).decode() if len(parts) == 2 else ""
        except (binascii.Error, UnicodeDecodeError):
            given = ""
        token = token_find(given.partition(":")[2])
        if token is None:
            said = _("This token is unknown, expired or revoked. Make a new one.")
            raise AuthenticationFailed(said)
        token.user.auth_token = token
        return token.user, token


class MayRead(SignedIn):
    """As everywhere, and some requests by POST only read."""

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        reads = request.method in SAFE_METHODS or getattr(view, "only_reads", False)
        token = request.auth
        return not (reads and isinstance(token, ApiToken)) or Scope.READ in token.scopes


class MlflowApi(APIView):
    """One address. Not part of our own API, so its schema does not tell of it."""

    authentication_classes = [TokenAuthentication, PasswordAuthentication]
    permission_classes = [MayRead]
    schema = None
    #: Whether a POST changes nothing, and so needs no more than the scope `read`.
    only_reads = False

    def get_exception_handler(self) -> Any:
        return problems.exception_handler


def body(model: type[T], request: Request) -> T:
    """The JSON of a request, or InvalidInput with the path of the field."""
    return parse(model, request.data)


def query(model: type[T], request: Request) -> T:
    """The same of what stands in the address."""
    given: dict[str, Any] = request.query_params.dict()
    return parse(model, given)

"""Who may use the API at all: people who are signed in, and tokens for what their scopes say."""

from typing import Any

from django.utils.translation import gettext_lazy as _
from rest_framework.permissions import SAFE_METHODS, IsAuthenticated
from rest_framework.request import Request

from console.access.models import ApiToken
from console.access.roles import Scope


class SignedIn(IsAuthenticated):
    """Signed in; a token needs the scope `read` for what only reads.

    What writes is checked by its service. A view with `any_scope = True` answers every token.
    """

    message = _("This token does not have the scope read. Make one that has it.")

    def has_permission(self, request: Request, view: Any) -> bool:
        if not super().has_permission(request, view):
            return False
        token = request.auth
        if not isinstance(token, ApiToken) or getattr(view, "any_scope", False):
            return True
        return request.method not in SAFE_METHODS or Scope.READ in token.scopes

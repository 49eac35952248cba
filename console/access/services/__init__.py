"""Every change of people, teams, memberships and tokens: one transaction, one audit event."""

from console.access.services.people import (
    password_change,
    password_reset,
    sessions_end,
    user_activate,
    user_create,
    user_deactivate,
    user_signed_in,
    user_update,
)
from console.access.services.teams import (
    membership_remove,
    membership_set,
    team_create,
    team_rename,
)
from console.access.services.tokens import token_create, token_revoke, token_rotate

__all__ = [
    "membership_remove",
    "membership_set",
    "password_change",
    "password_reset",
    "sessions_end",
    "team_create",
    "team_rename",
    "token_create",
    "token_revoke",
    "token_rotate",
    "user_activate",
    "user_create",
    "user_deactivate",
    "user_signed_in",
    "user_update",
]

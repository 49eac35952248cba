"""`manage.py admin_ensure`: after the first start there is somebody who can sign in."""

from typing import Any

from django.db import connection, transaction

from console.access.management.command import AccessCommand
from console.access.models import Membership, Team, User
from console.access.roles import Role
from console.access.services import (
    membership_set,
    password_reset,
    team_create,
    user_activate,
    user_create,
    user_update,
)
from console.settings import env
from models_app.core.actor import SYSTEM

FIRST_EMAIL = "admin@slipway.local"
FIRST_TEAM = "default"
#: Two starts at the same moment must not both make an admin.
LOCK = 7_241_906


def first_admin() -> tuple[str, str]:
    """Address and password from the environment. No other process is given them."""
    return (
        env.read_str("SLIPWAY_ADMIN_EMAIL", FIRST_EMAIL, "Address of the first admin"),
        env.read_str("SLIPWAY_ADMIN_PASSWORD", "", "Password of the first admin", secret=True),
    )


class Command(AccessCommand):
    help = (
        "Makes the first platform admin and the first team if there are none. Reads "
        "SLIPWAY_ADMIN_EMAIL and SLIPWAY_ADMIN_PASSWORD (or SLIPWAY_ADMIN_PASSWORD_FILE); without "
        "a password it makes one that must be changed at the first sign-in and prints it once."
    )

    def act(self, **options: Any) -> str:
        email, password = first_admin()
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            admin = User.objects.filter(is_admin=True, is_active=True).order_by("pk").first()
            secret, made = "", admin is None
            if admin is None:
                admin, secret = _admin(email.strip().lower(), password or None)
            _first_team(admin)
        if not made:
            return f"There is a platform admin: {admin.email}"
        return _announcement(admin, secret)


def _admin(email: str, password: str | None) -> tuple[User, str]:
    """A new admin, or the person with this address made one."""
    user = User.objects.filter(email=email).first()
    if user is None:
        return user_create(
            actor=SYSTEM, email=email, name="Admin", is_admin=True, password=password
        )
    if not user.is_active:
        user_activate(actor=SYSTEM, user=user)
    user = user_update(actor=SYSTEM, user=user, is_admin=True)
    return user, password_reset(actor=SYSTEM, user=user)


def _first_team(admin: User) -> None:
    if not Team.objects.exists():
        team_create(actor=SYSTEM, slug=FIRST_TEAM, title="Default", admin=admin)
    elif not Membership.objects.exists():
        first = Team.objects.order_by("pk")[0]
        membership_set(actor=SYSTEM, team=first, user=admin, role=Role.ADMIN)


def _announcement(admin: User, secret: str) -> str:
    lines = ["First platform admin", f"  email:    {admin.email}"]
    if secret:
        lines += [
            f"  password: {secret}",
            "  This is shown once. It must be changed at the first sign-in.",
        ]
    else:
        lines.append("  password: the one in SLIPWAY_ADMIN_PASSWORD")
    return "\n".join(lines)

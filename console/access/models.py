"""People, teams, memberships and API tokens."""

import datetime as dt
from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib.auth import get_backends
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from console.access.roles import Role, Scope
from models_app.core.clock import now


class UserManager(BaseUserManager["User"]):
    """Creates people by email address; services in this app are the only callers besides tests."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser):
    """A person. Signs in by email; what they may do follows from memberships and `is_admin`."""

    email = models.EmailField(_("email"), max_length=254, unique=True)  # kept in lower case
    name = models.CharField(_("name"), max_length=120)
    is_active = models.BooleanField(default=True)
    is_admin = models.BooleanField(
        default=False, help_text=_("Platform admin: sees all teams, manages people and policies")
    )
    must_change_password = models.BooleanField(default=False)
    #: Part of the hash that sessions carry: counting it up ends them all.
    session_epoch = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=now, editable=False)

    #: The token this request came with, if any; it narrows what the person may do.
    auth_token: "ApiToken | None" = None

    objects: ClassVar[UserManager] = UserManager()
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        verbose_name = _("person")

    def __str__(self) -> str:
        return self.name or self.email

    @property
    def label(self) -> str:
        """How the audit log names this person."""
        return self.email

    def _get_session_auth_hash(self, secret: str | bytes | None = None) -> str:
        """Ties sessions to the password and to `session_epoch`; also for the fallback keys."""
        salt = "console.access.models.User.session"
        value = f"{self.password}:{self.session_epoch}"
        return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Ask the authentication backends, as Django does."""
        return any(
            backend.has_perm(self, perm, obj)
            for backend in get_backends()
            if hasattr(backend, "has_perm")
        )

    def roles(self) -> dict[int, Role]:
        """team id -> role. One query per request, kept on the instance."""
        if not hasattr(self, "_roles"):
            self.roles_known(self.memberships.values_list("team_id", "role"))
        return self._roles

    def roles_known(self, rows: Iterable[tuple[int, str]]) -> None:
        """Whoever has read this person has read the roles as well: (team id, role)."""
        self._roles = {team: Role(role) for team, role in rows}

    def visible_team_ids(self) -> list[int] | None:
        """Teams whose things this person may see; None means all."""
        if not self.is_active:
            return []
        token = self.auth_token
        if token is not None and token.team_id is not None:
            return [token.team_id] if self.is_admin or token.team_id in self.roles() else []
        return None if self.is_admin else list(self.roles())


class Team(models.Model):
    """Owns datasets, models, jobs and deployments."""

    slug = models.SlugField(_("name"), max_length=63, unique=True)
    title = models.CharField(_("title"), max_length=120)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = _("team")
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.title or self.slug


class Membership(models.Model):
    """A person's role in a team."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = _("membership")
        constraints = [
            models.UniqueConstraint(fields=["user", "team"], name="membership_once"),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="membership_role_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.team} · {self.role}"


class ApiToken(models.Model):
    """A secret for programs. Only its sha256 is kept; the text is shown once, when it is made."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    team = models.ForeignKey(
        Team,
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
        help_text=_("Empty: every team of its owner"),
    )
    name = models.CharField(_("name"), max_length=120)
    prefix = models.CharField(max_length=16, help_text=_("First characters, to recognise it by"))
    digest = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=16, choices=Scope.choices))
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=now, editable=False)

    class Meta:
        verbose_name = _("API token")
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    def usable(self, at: dt.datetime | None = None) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (
            self.expires_at is None or self.expires_at > (at or now())
        )

"""People: made, renamed, switched off and on; their passwords."""

from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext as _

from console.access.models import User
from console.access.passwords import one_time_password
from console.access.services.effects import access_changed
from models_app.audit.services import audit_record
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, PermissionDenied, WrongState
from models_app.core.names import check_length, clean_title
from models_app.core.permission import require


@transaction.atomic
def user_create(
    *, actor: Actor, email: str, name: str, is_admin: bool = False, password: str | None = None
) -> tuple[User, str]:
    """A new person: (user, one-time password). It must be changed at the first sign-in.

    With `password` given (only by the command line) that one is final and "" is returned.
    """
    require(actor, "access.add_user")
    email = clean_email(email)
    if User.objects.filter(email=email).exists():
        said = _("There is a person with the address %(email)s already.") % {"email": email}
        raise FieldError("email", said)
    fields: dict[str, Any] = {"name": clean_title(name, "name", 120), "is_admin": is_admin}
    if password is not None:
        check_password_rules(password, User(email=email, **fields), "password")
    secret = password or one_time_password()
    user = User.objects.create_user(email, secret, must_change_password=password is None, **fields)
    changes = {"email": user.email, "name": user.name, "is_admin": is_admin}
    audit_record(actor=actor, action="user.created", obj=user, changes=changes)
    access_changed(user)
    return user, "" if password else secret


@transaction.atomic
def user_update(
    *, actor: Actor, user: User, name: str | None = None, is_admin: bool | None = None
) -> User:
    """Change one's own name; as platform admin, anybody's name and the admin flag."""
    own = actor.pk == user.pk and is_admin is None
    require(actor, "access.change_profile" if own else "access.change_user")
    user = _locked(user)
    changes: dict[str, Any] = {}
    name = user.name if name is None else clean_title(name, "name", 120)
    if name != user.name:
        changes["name"] = {"from": user.name, "to": name}
        user.name = name
    if is_admin is not None and is_admin != user.is_admin:
        if not is_admin:
            _keep_one_admin(user, "is_admin")
        changes["is_admin"] = {"from": user.is_admin, "to": is_admin}
        user.is_admin = is_admin
    if changes:
        user.save(update_fields=["name", "is_admin"])
        audit_record(actor=actor, action="user.updated", obj=user, changes=changes)
        access_changed(user)
    return user


@transaction.atomic
def user_deactivate(*, actor: Actor, user: User) -> User:
    """Nobody signs in as this person, and their tokens and sessions stop working at once."""
    require(actor, "access.change_user")
    if actor.pk == user.pk:
        raise PermissionDenied(_("You cannot deactivate yourself. Ask another platform admin."))
    user = _locked(user)
    if not user.is_active:
        raise WrongState(_("%(email)s is deactivated already.") % {"email": user.email})
    _keep_one_admin(user, "user")
    user.is_active = False
    _end_sessions(user)
    user.save(update_fields=["is_active", "session_epoch"])
    audit_record(actor=actor, action="user.deactivated", obj=user)
    access_changed(user)
    return user


@transaction.atomic
def user_activate(*, actor: Actor, user: User) -> User:
    """The person can sign in again, with the old password; old sessions stay ended."""
    require(actor, "access.change_user")
    user = _locked(user)
    if user.is_active:
        raise WrongState(_("%(email)s is active already.") % {"email": user.email})
    user.is_active = True
    user.save(update_fields=["is_active"])
    audit_record(actor=actor, action="user.activated", obj=user)
    access_changed(user)
    return user


@transaction.atomic
def password_change(*, actor: Actor, user: User, old: str, new: str) -> User:
    """Replace one's own password. All other sessions end; tokens stay."""
    require(actor, "access.change_password")
    if actor.pk != user.pk:
        raise PermissionDenied(_("Only the person can do this. Reset the password instead."))
    user = _locked(user)
    if not user.check_password(old):
        raise FieldError("old_password", _("This is not your current password."))
    if old == new:
        said = _("Choose one that differs from the current password.")
        raise FieldError("new_password", said)
    check_password_rules(new, user, "new_password")
    user.set_password(new)
    user.must_change_password = False
    user.save(update_fields=["password", "must_change_password"])
    audit_record(actor=actor, action="user.password_changed", obj=user)
    access_changed(user)
    return user


@transaction.atomic
def password_reset(*, actor: Actor, user: User) -> str:
    """A one-time password for somebody who has lost theirs; all their sessions end."""
    require(actor, "access.change_user")
    if actor.pk == user.pk:
        raise PermissionDenied(_("Change your own password on your account page."))
    user = _locked(user)
    secret = one_time_password()
    user.set_password(secret)
    user.must_change_password = True
    user.save(update_fields=["password", "must_change_password"])
    audit_record(actor=actor, action="user.password_reset", obj=user)
    access_changed(user)
    return secret


@transaction.atomic
def sessions_end(*, actor: Actor, user: User) -> User:
    """Sign the person out everywhere; tokens stay."""
    require(actor, "access.change_password" if actor.pk == user.pk else "access.change_user")
    user = _locked(user)
    _end_sessions(user)
    user.save(update_fields=["session_epoch"])
    audit_record(actor=actor, action="user.signed_out_everywhere", obj=user)
    access_changed(user)
    return user


@transaction.atomic
def user_signed_in(*, user: User) -> None:
    """Note in the audit log that somebody has signed in with a password."""
    audit_record(actor=user, action="user.signed_in", obj=user)


def clean_email(value: str, field: str = "email") -> str:
    """An address in lower case, or FieldError."""
    email = value.strip().lower()
    try:
        validate_email(email)
    except ValidationError:
        said = _("This is no email address. Write one like ana@example.com.")
        raise FieldError(field, said) from None
    check_length(email, field, 254)
    return email


def check_password_rules(password: str, user: User, field: str) -> None:
    """FieldError with every rule that the password breaks."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise FieldError(field, " ".join(error.messages)) from None


def _locked(user: User) -> User:
    """The row, locked, so that two changes at once do not undo each other."""
    return User.objects.select_for_update().get(pk=user.pk)


def _keep_one_admin(user: User, field: str) -> None:
    """Refuse to lose the last active platform admin."""
    if not user.is_admin:
        return
    # All admins are locked, so that two of them cannot take each other out at the same time.
    admins = User.objects.select_for_update().filter(is_admin=True, is_active=True).order_by("pk")
    if not [admin for admin in admins if admin.pk != user.pk]:
        said = _("%(email)s is the last platform admin. Make another one first.")
        raise FieldError(field, said % {"email": user.email})


def _end_sessions(user: User) -> None:
    user.session_epoch += 1

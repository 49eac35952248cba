"""Forms of sign-in, account, people, teams and tokens. Rules are in the services."""

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.utils.translation import gettext_lazy as _

from console.access.models import Team
from console.access.roles import Role, Scope


class LoginForm(AuthenticationForm):
    """Address and password; the same message whether the address or the password is wrong."""

    username = forms.EmailField(
        label=_("Email"),
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "username", "autofocus": True}),
    )
    error_messages = {
        "invalid_login": _("Email or password is not right. Check both and try again."),
        "inactive": _("Email or password is not right. Check both and try again."),
    }

    def clean_username(self) -> str:
        return str(self.cleaned_data["username"]).lower()


def _password(label: Any, autocomplete: str, **more: Any) -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(label=label, strip=False, max_length=4096, widget=widget, **more)


class PasswordForm(forms.Form):
    """The current password and, twice, the new one."""

    old_password = _password(_("Current password"), "current-password")
    new_password = _password(
        _("New password"), "new-password",
        help_text=_("At least 10 characters, not a common one, and not like your name or email."),
    )  # fmt: skip
    again = _password(_("New password again"), "new-password")

    def clean_again(self) -> str:
        again = str(self.cleaned_data["again"])
        if again != self.cleaned_data.get("new_password"):
            raise forms.ValidationError(_("The two new passwords differ."))
        return again


class NameForm(forms.Form):
    """What a person is called."""

    name = forms.CharField(label=_("Name"), max_length=120)


class PersonForm(NameForm):
    """A new person, perhaps at once with a role in a team."""

    email = forms.EmailField(label=_("Email"), max_length=254)
    is_admin = forms.BooleanField(
        label=_("Platform admin: sees all teams, manages people and policies"), required=False
    )
    team = forms.ModelChoiceField(
        Team.objects.none(), label=_("Team"), required=False, to_field_name="slug",
        empty_label=_("None yet"),
    )  # fmt: skip
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.DEVELOPER)

    def __init__(self, *args: Any, teams: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = teams  # type: ignore[attr-defined]


class TeamForm(forms.Form):
    """A new team."""

    slug = forms.CharField(
        label=_("Name"), max_length=63,
        help_text=_("Part of addresses: lower-case letters, digits, dots, dashes. It stays."),
    )  # fmt: skip
    title = forms.CharField(
        label=_("Title"), max_length=120, required=False, help_text=_("How people call the team")
    )
    admin = forms.EmailField(
        label=_("First admin"),
        required=False,
        help_text=_("Address of somebody who is here already"),
    )


class TitleForm(forms.Form):
    """What a team is called."""

    title = forms.CharField(label=_("Title"), max_length=120)


class RoleForm(forms.Form):
    """Another role."""

    role = forms.ChoiceField(label=_("Role"), choices=Role.choices)


class MemberForm(forms.Form):
    """Somebody new in the team."""

    email = forms.EmailField(label=_("Email"), max_length=254)
    role = forms.ChoiceField(label=_("Role"), choices=Role.choices, initial=Role.DEVELOPER)


class TokenForm(forms.Form):
    """What a new token is for, what it may do, and for how long."""

    DAYS = [
        ("7", _("7 days")),
        ("30", _("30 days")),
        ("90", _("90 days")),
        ("180", _("180 days")),
        ("365", _("1 year")),
        ("never", _("It does not expire")),
    ]
    name = forms.CharField(
        label=_("Name"), max_length=120,
        help_text=_("What uses it, so that you know later: one token for each program"),
    )  # fmt: skip
    scopes = forms.MultipleChoiceField(
        label=_("What it may do"), choices=Scope.choices, initial=[Scope.READ],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("Never more than your own roles allow, whatever is ticked"),
    )  # fmt: skip
    team = forms.ModelChoiceField(
        Team.objects.none(), label=_("Team"), required=False, to_field_name="slug",
        empty_label=_("Every team of mine"),
    )  # fmt: skip
    days = forms.ChoiceField(label=_("Expires after"), choices=DAYS, initial="90")

    def __init__(self, *args: Any, teams: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["team"].queryset = teams  # type: ignore[attr-defined]

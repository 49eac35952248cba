"""Forms of approvals."""

from django import forms
from django.utils.translation import gettext_lazy as _


class DecisionForm(forms.Form):
    """One vote."""

    decision = forms.ChoiceField(
        label=_("Decision"), choices=[("approve", _("Approve")), ("reject", _("Reject"))]
    )
    comment = forms.CharField(
        label=_("Comment"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Needed to reject: what is missing?"),
    )


class PolicyForm(forms.Form):
    """Who must agree before something goes into an environment."""

    protected = forms.BooleanField(
        label=_("Changes need approval"),
        required=False,
    )
    required_approvals = forms.IntegerField(
        label=_("Approvals needed"),
        min_value=1,
        max_value=10,
        help_text=_("People with the role approver or admin in the team; never the requester."),
    )
    expires_after_h = forms.IntegerField(
        label=_("Hours a request stays open"),
        min_value=1,
        max_value=720,
        help_text=_("An approval that was given is good for as long again."),
    )

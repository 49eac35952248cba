"""The name under which waivers are put before approvers, and where their policy comes from."""

from models_app.approvals.models import Environment

SUBJECT = "dataset_waiver"


def waiver_environment() -> Environment | None:
    """The environment whose approvers decide on waivers: the protected one with the most votes.

    Data that was let through may end up wherever models serve, so the strictest policy counts.
    """
    rows = Environment.objects.order_by("-protected", "-required_approvals", "-position")
    return rows.first()

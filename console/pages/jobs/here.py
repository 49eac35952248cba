"""Why a job runs where it runs, in words."""

from typing import Any

from django.utils.translation import gettext as _


def why_here(job: Any) -> list[str]:
    """What spoke for the node of a job, the deciding reason first."""
    placed = job.placement if job is not None and job.node_name else {}
    if not placed:
        return []
    reasons = {
        "only": _("the only node that could take it"),
        "alive": _("it was heard of last"),
        "gpus": _("it has no GPU to waste"),
        "resumes": _("it was there before"),
        "spread": _("spread: fewer replicas of this deployment are there"),
        "room": _("it had the most room"),
    }
    said = [reasons[placed["decided_by"]]] if placed["decided_by"] in reasons else []
    locality = placed.get("locality")
    if locality and locality["bytes"] == locality["of_bytes"]:
        said.append(_("locality: all of its files were there"))
    elif locality and locality["bytes"]:
        share = 100 * locality["bytes"] / locality["of_bytes"]
        said.append(_("locality: %(n)s %% of its files were there") % {"n": round(share)})
    elif locality:
        said.append(_("locality: none of its files were there"))
    return said

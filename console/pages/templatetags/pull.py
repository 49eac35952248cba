"""How programs pull a version, for the pages of models and datasets."""

from typing import Any

from django import template
from django.conf import settings

from models_app.datasets.models import DatasetVersion

register = template.Library()


@register.inclusion_tag("components/_pull.html")
def pull(version: Any) -> dict[str, Any]:
    """Commands and code that bring the version to another machine."""
    is_dataset = isinstance(version, DatasetVersion)
    owner = version.dataset if is_dataset else version.model
    return {
        "repo": f"{owner.team.slug}/{owner.name}",
        "revision": f"v{version.number}",
        "dataset": is_dataset,
        "public_url": settings.PUBLIC_URL,
    }

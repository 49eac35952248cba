"""What holders of files are called and where their pages are."""

import re

from django.apps import apps
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import override

from console.access.audit_links import thing_href
from models_app.storage.models import Holder

#: kind -> its word and its tone in the picture.
KINDS: dict[str, tuple[str | Promise, str]] = {
    "registry.modelversion": (_("Model versions"), "violet"),
    "datasets.datasetversion": (_("Dataset versions"), "blue"),
    "jobs.checkpoint": (_("Checkpoints"), "cyan"),
    "registry.evaluation": (_("Evaluations"), "green"),
    "registry.runfile": (_("Files of runs"), "amber"),
    "storage.upload": (_("Uploads"), "red"),
}
_JOB = re.compile(r"#(\d{1,18}) ")


def kind_word(kind: str) -> str:
    """The kind, in the language of the reader."""
    return str(KINDS[kind][0]) if kind in KINDS else str(apps.get_model(kind)._meta.verbose_name)


def kind_tone(kind: str) -> str:
    """The tone of its blocks."""
    return KINDS[kind][1] if kind in KINDS else "neutral"


def holder_href(row: Holder) -> str | None:
    """The page of a holder, if it has one."""
    found = _JOB.match(row.label) if row.kind == "jobs.checkpoint" else None
    if found:
        return thing_href("job", found[1], "", "")
    with override(None):
        noun = str(apps.get_model(row.kind)._meta.verbose_name)
    return thing_href(noun, str(row.object_id), row.label, row.team.slug if row.team else "")

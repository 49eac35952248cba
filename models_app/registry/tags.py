"""Tags: what people and programs note on models, versions and runs, as name and value."""

import re

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.core.clock import now
from models_app.core.errors import FieldError
from models_app.core.names import check_length, clean_text

#: How many one thing may carry.
MOST = 100
LONGEST_VALUE = 500
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.:/ -]{0,98}[A-Za-z0-9_])?")
#: What can carry tags: the field of the row.
OWNERS = ("model", "version", "job")


class Tag(models.Model):
    """One tag of exactly one model, version or run (a job)."""

    model = models.ForeignKey(
        "registry.Model", null=True, on_delete=models.CASCADE, related_name="tags"
    )
    version = models.ForeignKey(
        "registry.ModelVersion", null=True, on_delete=models.CASCADE, related_name="tags"
    )
    job = models.ForeignKey("jobs.Job", null=True, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=100)
    value = models.CharField(max_length=LONGEST_VALUE, blank=True)
    set_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+"
    )
    set_at = models.DateTimeField(default=now)

    class Meta:
        verbose_name = gettext_lazy("tag")
        ordering = ["name"]
        constraints = [
            *(
                models.UniqueConstraint(
                    fields=[owner, "name"],
                    condition=Q(**{f"{owner}__isnull": False}),
                    name=f"tag_of_{owner}_once",
                )
                for owner in ("model", "version", "job")
            ),
            models.CheckConstraint(
                condition=Q(model__isnull=False, version__isnull=True, job__isnull=True)
                | Q(model__isnull=True, version__isnull=False, job__isnull=True)
                | Q(model__isnull=True, version__isnull=True, job__isnull=False),
                name="tag_of_one",
            ),
        ]
        indexes = [
            models.Index(
                fields=["name", "value", "job"], name="tag_run", condition=Q(job__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name}={self.value}"


def clean_tag_name(name: str, field: str = "name") -> str:
    """A name that can be written in a filter, or FieldError."""
    check_length(name, field, 100)
    if not _NAME.fullmatch(name):
        said = _("Use letters, digits and . _ - / : in the name of a tag.")
        raise FieldError(field, said)
    return name


def clean_tag_value(value: str, field: str = "value") -> str:
    """A value without control characters, at most LONGEST_VALUE characters; or FieldError."""
    return clean_text(value, field, LONGEST_VALUE)

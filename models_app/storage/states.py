"""The states of a run over the store, and of an upload.

run:     queued ──(worker)──▶ running ──┬──▶ done
                                        └──▶ failed
upload:  open ──(last byte, finish)──▶ done
           └──(its sender, or nobody for a day)──▶ dropped
"""

from django.db import models
from django.utils.translation import gettext_lazy as _


class RunState(models.TextChoices):
    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")


class UploadState(models.TextChoices):
    OPEN = "open", _("Open")
    DONE = "done", _("Done")
    DROPPED = "dropped", _("Dropped")


ALLOWED: dict[str, set[str]] = {
    RunState.QUEUED: {RunState.RUNNING, RunState.FAILED},
    RunState.RUNNING: {RunState.DONE, RunState.FAILED},
    RunState.DONE: set(),
    RunState.FAILED: set(),
}
UPLOAD_ALLOWED: dict[str, set[str]] = {
    UploadState.OPEN: {UploadState.DONE, UploadState.DROPPED},
    UploadState.DONE: set(),
    UploadState.DROPPED: set(),
}

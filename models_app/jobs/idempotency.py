"""Keys under which a request may be repeated: it then gives what it gave the first time.

A key belongs to a team. See the draft of the IETF, "The Idempotency-Key HTTP Header Field".
"""

from typing import Any

from django.utils.translation import gettext as _

from models_app.core.errors import Conflict, FieldError
from models_app.jobs.models import Job

#: Name of the header, and of the field in errors.
KEY = "Idempotency-Key"
#: The most characters of one.
LONGEST = 200


def key_clean(key: str | None) -> str | None:
    """None where no key was given; FieldError for one that cannot be kept."""
    if not key:
        return None
    if len(key) > LONGEST or not key.isprintable():
        said = _("Use a printable key of at most %(most)s characters.")
        raise FieldError(KEY, said % {"most": LONGEST})
    return key


def job_with_key(*, team: Any, key: str | None, kind: str, params_digest: str = "") -> Job | None:
    """The job of a team that came with this key before, or None.

    Raises Conflict, naming the job, where the key was used for something else: for a job of another
    kind or, if `params_digest` is given, with other parameters.
    """
    key = key_clean(key)
    job = Job.objects.filter(team=team, idempotency_key=key).first() if key else None
    if job is None:
        return None
    if job.kind != kind or (params_digest and job.params_digest != params_digest):
        said = _("Job %(job)s came with this key and is another one. Use a new key.")
        raise Conflict(said % {"job": job.pk}, field=KEY, job=job.pk)
    return job

"""What a program elsewhere has logged with its run, for the page of its job."""

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from models_app.jobs.models import Job
from models_app.registry.experiment_selectors import logged_of, run_files
from models_app.registry.models import RunParam, SidePoint
from models_app.registry.runs import EXTERNAL

#: Files that are listed by name.
MOST_FILES = 200


def logged_with(job: Job) -> dict[str, Any]:
    """What `jobs/_logged.html` needs; nothing for jobs that are done here."""
    if job.kind != EXTERNAL:
        return {}
    by, files = logged_of(job.pk), run_files(job.pk)
    odd: dict[str, list[int]] = defaultdict(list)
    rows = SidePoint.objects.filter(run=job.pk, is_finite=False)
    for name, step in rows.values_list("name", "step"):
        odd[name].append(step)
    return {
        "logged": {
            "by": by,
            "experiment_href": _runs_of(by.experiment.name) if by else "",
            "params": RunParam.objects.filter(run=job.pk).order_by("name"),
            "files": files[:MOST_FILES],
            "more": max(0, len(files) - MOST_FILES),
            "size": sum(file.size for file in files),
            "odd": [(name, min(steps), len(steps)) for name, steps in odd.items()],
        }
    }


def _runs_of(experiment: str) -> str:
    """The list of the runs of an experiment."""
    text = experiment.replace("\\", "\\\\").replace('"', '\\"')
    wanted = f'experiment = "{text}"'
    return f"{reverse('run_list')}?{urlencode({'filter': wanted})}"

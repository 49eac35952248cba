"""Chooses the fence of this machine by trying what it allows, best first, once per process."""

import hashlib
import logging
from functools import cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from workers.isolation import cgroup1, cgroup2
from workers.isolation.fence import Fence
from workers.isolation.limits import Limits
from workers.isolation.polling import PollingFence

logger = logging.getLogger(__name__)

CHOICES = ("auto", "cgroup2", "cgroup1", "polling")


@cache
def bases() -> tuple[str, dict[str, Path]]:
    """Name of the best fence, and where its groups are made. Raises ImproperlyConfigured when the
    one that SLIPWAY_ISOLATION demands cannot be had: less than demanded is never taken silently."""
    wanted = settings.ISOLATION
    if wanted not in CHOICES:
        raise ImproperlyConfigured(f"SLIPWAY_ISOLATION={wanted!r} is none of {', '.join(CHOICES)}")
    if wanted in ("auto", "cgroup2"):
        chosen = Path(settings.CGROUP) if settings.CGROUP else None
        if found := cgroup2.find_bases(chosen=chosen):
            return "cgroup2", found
    if wanted in ("auto", "cgroup1") and (found := cgroup1.find_bases()):
        return "cgroup1", found
    if wanted in ("auto", "polling"):
        return "polling", {}
    raise ImproperlyConfigured(
        f"SLIPWAY_ISOLATION={wanted}, but this machine does not let us make such control groups"
        " (docs/reference/isolation.md says how to delegate them)."
    )


def prefix(node: str) -> str:
    """Begins the names of all groups of this node: another installation's are not ours."""
    place = f"{Path(settings.DATA_DIR).resolve()}\0{node}"
    return f"slipway-{hashlib.sha256(place.encode()).hexdigest()[:10]}-"


def fence_for(name: str, limits: Limits) -> Fence:
    """The best fence, made. Where the kernel refuses a group this once, polling steps in."""
    backend, found = bases()
    fence: Fence = PollingFence(name, limits)
    if backend == "cgroup2":
        fence = cgroup2.Cgroup2Fence(name, limits, found)
    elif backend == "cgroup1":
        fence = cgroup1.Cgroup1Fence(name, limits, found)
    try:
        fence.make()
    except OSError as error:
        if settings.ISOLATION != "auto":
            raise
        logger.error("no control group for %s, its limits are polled: %s", name, error)
        fence = PollingFence(name, limits)
    return fence

"""Settings of workers and beat: the shared ones; no pages, no sessions in use, no static files."""

from console.settings.base import *  # noqa: F403

# No sign-in happens in a worker, so the middleware of axes is not wanted here.
SILENCED_SYSTEM_CHECKS = ["axes.W002"]

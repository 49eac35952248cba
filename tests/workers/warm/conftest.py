"""The stage of the isolation tests, and a template behind it."""

from tests.workers.isolation.conftest import fence, place, stage

__all__ = ["fence", "place", "stage"]

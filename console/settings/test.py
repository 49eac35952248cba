"""Settings of the test suite: the web settings on a database and a data directory of their own."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("SECRET_KEY", "test-only")
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # Test processes side by side: each has four Redis databases (and channels) of its own.
    root, _, base = os.environ["REDIS_URL"].rpartition("/")
    redis, number = (
        (root, int(base)) if base.isdecimal() else (os.environ["REDIS_URL"].rstrip("/"), 0)
    )
    os.environ["REDIS_URL"] = f"{redis}/{number + 4 * (int(worker.removeprefix('gw')) + 1)}"
if "SLIPWAY_DATA_DIR" not in os.environ:
    os.environ["SLIPWAY_DATA_DIR"] = tempfile.mkdtemp(prefix="slipway-test-")
if worker and os.environ.get("TEST_STORE") != worker:
    # And a store of its own: what one test puts there is not what another one leaves behind.
    os.environ["TEST_STORE"] = worker  # processes that it starts take the folder they are told
    os.environ["SLIPWAY_DATA_DIR"] = str(Path(os.environ["SLIPWAY_DATA_DIR"]) / worker)

from console.settings.web import *  # noqa: F403
from console.settings.web import DATA_DIR, DATABASES, STORAGES

DATABASES["default"]["TEST"] = {"NAME": f"test_slipway_{os.environ.get('SLIPWAY_TEST_DB', 'main')}"}
# A crowded machine is no defect.
DATABASES["default"]["OPTIONS"]["connect_timeout"] = 60
DATABASES["default"]["OPTIONS"]["pool"]["timeout"] = 60
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
WHITENOISE_USE_FINDERS = True
(Path(DATA_DIR) / "static").mkdir(parents=True, exist_ok=True)

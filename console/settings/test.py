"""Settings of the test suite: the web settings on a database and a data directory of their own."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("SECRET_KEY", "test-only")
os.environ.setdefault("SLIPWAY_DATA_DIR", tempfile.mkdtemp(prefix="slipway-test-"))

from console.settings.web import *  # noqa: E402, F403
from console.settings.web import DATABASES, DATA_DIR, STORAGES  # noqa: E402

DATABASES["default"]["TEST"] = {"NAME": f"test_slipway_{os.environ.get('SLIPWAY_TEST_DB', 'main')}"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
WHITENOISE_USE_FINDERS = True
(Path(DATA_DIR) / "static").mkdir(parents=True, exist_ok=True)

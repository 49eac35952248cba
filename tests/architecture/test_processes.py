"""What each process loads, and that it starts from nothing but its settings."""

import os
import subprocess
import sys

import pytest

from tests.waiting import WAIT_S

HEAVY = ("torch", "transformers", "safetensors", "tokenizers", "numpy.core._multiarray")


def modules_after(statement: str, settings: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}\nimport sys\nprint('LOADED ' + ' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": settings},
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = next(line for line in done.stdout.splitlines() if line.startswith("LOADED "))
    return set(line.split()[1:])


@pytest.mark.parametrize(
    "statement",
    [
        "import console.asgi",
        # A request makes the URL map load every page and API module.
        "import console.asgi, django.urls; django.urls.get_resolver().url_patterns",
        "import console.gateway.asgi",
    ],
)
def test_the_web_process_never_loads_what_computes(statement):
    loaded = modules_after(statement, "console.settings.web")
    assert not loaded & set(HEAVY)


def test_the_celery_process_loads_no_pages():
    statement = "import django; django.setup(); import workers.celery"
    loaded = modules_after(statement, "console.settings.worker")
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith(("console.pages", "console.gateway"))}

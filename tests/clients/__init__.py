"""Stock clients and servers, apart from the project's packages: `<environment>/clients/<name>`.

`python -m tests.clients` installs what `<name>.txt` pins; `make env-dev` does so. Each folder goes
into PYTHONPATH in front of the environment, which has torch and the rest.
"""

import hashlib
import os
from pathlib import Path

import pytest

from launcher.bootstrap import venv_folder

HERE = Path(__file__).parent
#: huggingface_hub with transformers and datasets of its time.
HUB_GENERATIONS = ("hub-0.36", "hub-1.10", "hub-2.4")
_COMMON = "common"


def client_folder(name: str) -> Path:
    return venv_folder() / "clients" / name


def client_names() -> tuple[str, ...]:
    return (_COMMON, *HUB_GENERATIONS, "mlflow", "swift")


def is_installed(name: str) -> bool:
    stamp = client_folder(name) / ".stamp"
    return stamp.exists() and stamp.read_text() == wanted(name)


def wanted(name: str) -> str:
    return hashlib.sha256((HERE / f"{name}.txt").read_bytes()).hexdigest()


def client_path(name: str) -> str:
    """PYTHONPATH of a generation; skips the test where it could not be installed."""
    for one in (_COMMON, name):
        if not is_installed(one):
            pytest.skip(f"the client packages {one} are not installed: make env-dev")
    return os.pathsep.join(str(client_folder(one)) for one in (name, _COMMON))

"""Lets `manage.py` in any terminal find the running stack."""

import os
from collections.abc import Sequence
from pathlib import Path

from launcher import options as launch_options
from launcher.child import PROJECT
from launcher.errors import LauncherError
from launcher.state import read_json

_NEEDED = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY")
#: Commands that work without servers; they get addresses at which nothing listens.
_OFFLINE = frozenset(
    {"help", "version", "--help", "-h", "--version", "check", "collectstatic", "compilemessages",
     "makemessages", "makemigrations", "spectacular", "diffsettings"}
)  # fmt: skip
_NOWHERE = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    "REDIS_URL": "redis://127.0.0.1:1",
    "SECRET_KEY": "no-stack-is-running",
}


def apply_stack_environment(argv: Sequence[str] = ()) -> None:
    """Set the addresses of the running stack where they are not given; exits 1 if there is none.

    `argv` is the management command with its arguments: some need no servers.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings.web")
    missing = [n for n in _NEEDED if not (os.environ.get(n) or os.environ.get(f"{n}_FILE"))]
    if not missing:
        return
    try:
        folder = launch_options.read_value(os.environ, "SLIPWAY_DATA_DIR")
        data_dir = Path(folder).expanduser().absolute() if folder else PROJECT / "var"
        stack = read_json(data_dir / "run" / "stack.json")
    except LauncherError as error:
        raise SystemExit(str(error)) from error
    if not stack and (not argv or argv[0] in _OFFLINE):
        stack = _NOWHERE
    unknown = [name for name in missing if not stack.get(name)]
    if unknown:
        raise SystemExit(
            f"{', '.join(unknown)}: not set, and no stack runs on {data_dir}.\n"
            "Start one in another terminal (`make up`, or `python manage.py services` for the "
            "servers alone), name its folder in SLIPWAY_DATA_DIR, or set the variables."
        )
    for name in missing:
        os.environ[name] = str(stack[name])
    os.environ.setdefault("SLIPWAY_DATA_DIR", str(data_dir))
    if host := stack.get("cluster_host"):
        os.environ.setdefault("SLIPWAY_CLUSTER_HOST", str(host))
    if url := stack.get("url"):
        os.environ.setdefault("SLIPWAY_PORT", str(url).rpartition(":")[2])
        os.environ.setdefault("SLIPWAY_PUBLIC_URL", str(url))

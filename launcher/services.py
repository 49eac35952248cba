"""`manage.py services`: PostgreSQL and Redis alone, for a command or until Ctrl-C."""

import argparse
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from launcher import options as launch_options
from launcher import stack as stacks
from launcher.child import ChildSpec, Stage
from launcher.environment import apply_stack_environment
from launcher.errors import AlreadyRunning, LauncherError
from launcher.stack import Stack


def run(argv: Sequence[str]) -> int:
    """Start the servers, run the command after `--` (or wait), stop; its exit status."""
    own, command = _split(argv)
    arguments = _parser().parse_args(own)
    temporary = tempfile.mkdtemp(prefix="slipway-") if arguments.temporary else None
    try:
        return _run(arguments, command, temporary or arguments.data_dir)
    except LauncherError as error:
        if isinstance(error, AlreadyRunning) and arguments.reuse and command:
            apply_stack_environment(["services"])
            return subprocess.run(command, check=False).returncode
        print(f"services: {error}", file=sys.stderr)
        return error.exit_status
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _run(arguments: argparse.Namespace, command: list[str], data_dir: str | None) -> int:
    options = launch_options.read(os.environ, data_dir=data_dir)
    if arguments.temporary:  # never somebody else's servers
        options = dataclasses.replace(options, database_url="", redis_url="")
    status = 0
    with stacks.opened(options, quiet=bool(command)) as stack:
        stack.start_servers(fast=arguments.temporary or arguments.fast)
        stack.publish()
        if command:
            status = _run_command(stack, command)
        else:
            stack.supervisor.say(f"to be found by manage.py with {stack.data.path}; Ctrl-C stops")
            stack.supervisor.run()
            status = stack.supervisor.exit_status
    return status


def _run_command(stack: Stack, command: list[str]) -> int:
    """Run it with the terminal as its own; a wish to stop is passed on, and its end waited for."""
    supervisor = stack.supervisor
    child = supervisor.start_once(
        ChildSpec(
            name="command",
            command=command,
            environment=stack.environment(),
            directory=Path.cwd(),
            stage=Stage.FRONT,
            foreground=True,
            grace_s=30,
        )
    )
    process = child.process
    assert process is not None
    while child.process and not supervisor.stopping:
        supervisor.pump(3600)
    if child.process and supervisor.last_signal == signal.SIGINT:
        # The terminal sent Ctrl-C to the command as well: a second one would break its own end.
        supervisor.wait_for_end(child, 30)
    supervisor.stop_stage(Stage.FRONT)
    status = process.returncode
    return 128 - status if status < 0 else status


def _split(argv: Sequence[str]) -> tuple[list[str], list[str]]:
    words = list(argv)
    if "--" not in words:
        return words, []
    at = words.index("--")
    return words[:at], words[at + 1 :]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.py services", description=__doc__, usage="%(prog)s [options] [-- COMMAND...]"
    )
    parser.add_argument("--data-dir", help="where the data lies (default: SLIPWAY_DATA_DIR, ./var)")
    parser.add_argument(
        "--temporary", action="store_true", help="fast servers on a folder that is removed after"
    )
    parser.add_argument(
        "--fast", action="store_true", help="do not flush to disk: a power cut may lose everything"
    )
    parser.add_argument(
        "--reuse", action="store_true", help="use the servers of a stack that runs there already"
    )
    return parser

"""`manage.py worker`: this machine as a node of a console elsewhere, until Ctrl-C."""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from launcher import commands, joining
from launcher import options as launch_options
from launcher import stack as stacks
from launcher.errors import AlreadyRunning, BadOption, LauncherError
from launcher.joining import Membership, Refused, Unreachable
from launcher.stack import Stack

RETRY_S = 3.0
#: Read here or by make, which tells its children what stood on its command line.
_OURS = (
    "SLIPWAY_JOIN_URL",
    "SLIPWAY_JOIN_TOKEN",
    "SLIPWAY_JOIN_TOKEN_FILE",
    "JOIN",
    "TOKEN",
    "MAKEFLAGS",
    "MAKEOVERRIDES",
    "MFLAGS",
)


def run(argv: Sequence[str]) -> int:
    """Join once, then keep the worker running; the exit status tells why it ended.

    0 stopped, 1 failed or refused, 2 bad option, 3 a worker already runs on this folder.
    """
    arguments = _parser().parse_args(argv)
    try:
        options = launch_options.read(os.environ, data_dir=arguments.data_dir)
        with stacks.opened(options) as stack:
            member = _member(stack, arguments.join)
            member = _current(stack, member)
            _start(stack, member)
            stack.supervisor.run()
        return stack.supervisor.exit_status
    except LauncherError as error:
        text = str(error)
        if isinstance(error, AlreadyRunning):
            text = text.replace("A stack already runs", "A stack or a worker already runs")
        print(f"\nworker: {text}", file=sys.stderr)
        return error.exit_status


def _member(stack: Stack, url: str) -> Membership:
    """What we are by now: known from earlier, or after joining."""
    data_dir = stack.data.path
    token = launch_options.read_value(os.environ, "SLIPWAY_JOIN_TOKEN").strip()
    known = joining.load(data_dir)
    if known is None:
        return _join(stack, url, token)
    if url and joining.clean_url(url) != known.console:
        raise BadOption(
            f"{data_dir} belongs to the node {known.name} of {known.console}. Set SLIPWAY_DATA_DIR "
            f"to another folder for {url}, or remove {joining.node_file(data_dir)}."
        )
    try:
        return joining.renew(known)
    except Unreachable:
        return known
    except Refused:
        if not token:
            raise
        stack.supervisor.say(f"{known.name} is not known to {known.console} any more: joining anew")
        return _join(stack, known.console, token)


def _join(stack: Stack, url: str, token: str) -> Membership:
    if not (url and token):
        raise BadOption(
            "This machine has not joined yet. Make a token on the console (Nodes, or `python "
            "manage.py join_token_create`), then: make worker JOIN=http://console:8000 TOKEN=…"
        )
    member = joining.join(url, token, joining.wanted_name())
    member.save(stack.data.path)  # before anything can go wrong: the token works once
    stack.supervisor.say(f"joined {member.console} as {member.name}")
    joining.require_servers(member)
    return member


def _current(stack: Stack, member: Membership) -> Membership:
    """Wait for the console and its servers, whose addresses may have changed meanwhile."""
    told = ""
    while True:
        try:
            member = joining.renew(member)
            joining.require_servers(member)
            member.save(stack.data.path)
            return member
        except Unreachable as error:
            if str(error) != told:
                stack.supervisor.say(f"waiting: {error}")
            told = str(error)
        _pause(stack, RETRY_S)


def _pause(stack: Stack, seconds: float) -> None:
    """Raises StopRequested on Ctrl-C."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        stack.supervisor.check_stop()
        stack.supervisor.pump(left)
    stack.supervisor.check_stop()


def _start(stack: Stack, member: Membership) -> None:
    address = joining.own_address(member.console)
    environment = {
        "SLIPWAY_REPLICA_HOST": address,
        **{name: value for name, value in stack.environment().items() if name not in _OURS},
        "DATABASE_URL": member.database_url,
        "REDIS_URL": member.redis_url,
        "SLIPWAY_PUBLIC_URL": member.console,
        "SLIPWAY_NODE": member.name,
        "SLIPWAY_NODE_SECRET": member.secret,
        "SLIPWAY_STORE_URL": member.console,
        "SLIPWAY_REPLICA_KEY": member.replica_key,
    }
    stack.supervisor.start(commands.joined_worker(stack.options, environment, member.name))
    stack.supervisor.say(f"{member.name} works for {member.console}  (Ctrl-C stops)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="manage.py worker",
        description=__doc__,
        epilog="The join token is read from SLIPWAY_JOIN_TOKEN (or the file SLIPWAY_JOIN_TOKEN_FILE"
        "), for command lines can be seen by others. Only the first start needs it.",
    )
    parser.add_argument("--data-dir", help="where the data lies (default: SLIPWAY_DATA_DIR, ./var)")
    parser.add_argument(
        "--join",
        metavar="URL",
        default=os.environ.get("SLIPWAY_JOIN_URL", ""),
        help="the console's address (default: SLIPWAY_JOIN_URL)",
    )
    return parser

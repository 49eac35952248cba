"""`manage.py up`: the whole stack in one terminal, until Ctrl-C."""

import argparse
import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from launcher import commands, health, ports
from launcher import options as launch_options
from launcher import stack as stacks
from launcher.adopted import LEAVE_ALONE
from launcher.child import ChildSpec
from launcher.commands import Application
from launcher.errors import LauncherError
from launcher.options import Options
from launcher.stack import READY_S, Stack

Build = Callable[[Options, Mapping[str, str]], Application]


def run(argv: Sequence[str], build: Build = commands.build) -> int:
    """Start everything and keep it running; the exit status tells why it ended.

    0 stopped or the demo ran through, 1 failed, 2 bad option, 3 already running, 4 port taken.
    """
    arguments = _parser().parse_args(argv)
    try:
        options = launch_options.read(
            os.environ,
            data_dir=arguments.data_dir,
            port=arguments.port,
            split_gateway=arguments.split_gateway,
        )
        with stacks.opened(options) as stack:
            # Known only once the block has ended: a stop in between is no failure.
            arguments.status = 0
            application = _start(stack, build)
            if arguments.demo:
                arguments.status = _demo(stack, application.demo)
            if not (arguments.demo and arguments.exit):
                _open(stack, browser=arguments.demo)
                stack.supervisor.run()
        return arguments.status or stack.supervisor.exit_status
    except LauncherError as error:
        print(f"\nup: {error}", file=sys.stderr)
        return error.exit_status


def _start(stack: Stack, build: Build) -> Application:
    """Servers, tables, first account, web, then what works in the background."""
    options, begun = stack.options, time.monotonic()
    ports.require_free(options.host, options.port, "SLIPWAY_PORT")
    if options.gateway_port:
        ports.require_free(options.host, options.gateway_port, "SLIPWAY_GATEWAY_PORT")
    supervisor = stack.supervisor
    stack.start_servers()
    application = build(options, stack.environment())
    _complete(stack, application.migrate)
    stack.publish(url=options.url)
    # Web first: with everything at once the first page comes later on a small machine.
    _serve(stack, application.web, options.port, "The console")
    supervisor.say(f"first page after {time.monotonic() - begun:.1f} s")
    _complete(stack, application.admin)
    if application.gateways and options.gateway_port:
        _serve_gateways(stack, application.gateways, options.gateway_port)
    for spec in application.background:
        supervisor.start(spec)
    return application


def _serve(stack: Stack, spec: ChildSpec, port: int, what: str) -> None:
    """Start a server and wait until it answers."""
    host, name = stack.options.host, _host_name(stack.options)
    stack.supervisor.start(spec)
    stack.supervisor.wait_until(lambda: health.answers(host, port, name), what, READY_S)


def _serve_gateways(stack: Stack, specs: Sequence[ChildSpec], port: int) -> None:
    """Start the gateways on one socket, and wait until one of them answers."""
    number = stack.listen(port)
    for spec in specs:
        on_socket = dataclasses.replace(spec, command=[*spec.command, str(number)], files=[number])
        stack.supervisor.start(on_socket)
    host, name = stack.options.host, _host_name(stack.options)
    stack.supervisor.wait_until(lambda: health.answers(host, port, name), "The gateway", READY_S)


def _complete(stack: Stack, spec: ChildSpec) -> None:
    """Run a command that has to succeed."""
    status = stack.run_once(spec)
    if status:
        raise LauncherError(f"{spec.name} failed with status {status}; see its lines above")


def _demo(stack: Stack, spec: ChildSpec) -> int:
    """Run the demo against the stack; its exit status."""
    status = stack.run_once(spec)
    if status:
        stack.supervisor.say(f"the demo failed with status {status}")
    return status


def _open(stack: Stack, *, browser: bool) -> None:
    """Say where it is and, for a demo on a desktop, show it."""
    url = stack.options.url
    stack.supervisor.say(f"Slipway is ready: {url}  (Ctrl-C stops)")
    if browser and _has_display():
        subprocess.Popen(
            [sys.executable, "-m", "webbrowser", url],
            env={**os.environ, LEAVE_ALONE: "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _has_display() -> bool:
    return sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


def _host_name(options: Options) -> str:
    """A name the console answers to, where its names were restricted."""
    first = options.environment.get("SLIPWAY_ALLOWED_HOSTS", "").split(",")[0].strip()
    return first.lstrip(".").replace("*", "")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage.py up", description=__doc__)
    parser.add_argument("--data-dir", help="where the data lies (default: SLIPWAY_DATA_DIR, ./var)")
    parser.add_argument("--port", type=int, help="default: SLIPWAY_PORT, 8000")
    parser.add_argument(
        "--split-gateway",
        action="store_true",
        help="serve /v1 from a process of its own on SLIPWAY_GATEWAY_PORT (the next port)",
    )
    parser.add_argument("--demo", action="store_true", help="run the demo, then stay open")
    parser.add_argument("--exit", action="store_true", help="with --demo: stop after it")
    return parser

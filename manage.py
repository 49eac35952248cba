#!/usr/bin/env python3
"""Entry of everything: `up`, `worker` and `services` start processes, the rest is Django's."""

import sys


def main(argv: list[str]) -> int:
    """Run one command; the launcher's own are found without importing Django."""
    command, rest = (argv[0], argv[1:]) if argv else ("help", [])
    from launcher import bootstrap

    bootstrap.enter_environment(argv)
    if command == "up":
        from launcher import up

        return up.run(rest)
    if command == "worker":
        from launcher import worker

        return worker.run(rest)
    if command == "services":
        from launcher import services

        return services.run(rest)
    from launcher.environment import apply_stack_environment

    apply_stack_environment(argv)
    from django.core.management import execute_from_command_line

    execute_from_command_line(["manage.py", *argv])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""`make chaos SEEDS=20`: seeds one after another, each on an installation of its own."""

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path

from tests.chaos.answers import Asking
from tests.chaos.faults import CATALOGUE, chosen
from tests.chaos.load import Load
from tests.chaos.report import as_json, failure, line
from tests.chaos.run import Outcome, Run
from tests.chaos.site import chaos_site
from tests.chaos.template import Template, prepared, served

FAULTS_PER_SEED = 5
NODES = {"node-b": {"zone": "b"}, "node-c": {"zone": "c"}}


def main(words: list[str]) -> int:
    """0 if every invariant held in every seed."""
    arguments = _parser().parse_args(words)
    names = [name for name in arguments.faults.split(",") if name]
    unknown = sorted(set(names) - set(CATALOGUE))
    if unknown:
        print(f"no such fault: {', '.join(unknown)}; there are {', '.join(sorted(CATALOGUE))}")
        return 2
    # Whoever stops it gets the summary all the same, and no mount or process is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    outcomes: list[Outcome] = []
    try:
        _run(arguments, names, outcomes)
    except KeyboardInterrupt:
        print("stopped", flush=True)
    print(as_json(outcomes), flush=True)
    return 1 if any(each.violations for each in outcomes) else 0


def _run(arguments: argparse.Namespace, names: list[str], outcomes: list[Outcome]) -> None:
    begun = time.monotonic()
    with prepared(arguments.template) as template:
        print(f"prepared in {time.monotonic() - begun:.0f} s", flush=True)
        for seed in range(arguments.first, arguments.first + arguments.seeds):
            count = arguments.count or (len(names) if names else FAULTS_PER_SEED)
            outcomes.append(run_seed(seed, template, chosen(seed, count, names or None)))
            print(line(outcomes[-1]), flush=True)
            if outcomes[-1].violations:
                print(failure(outcomes[-1]), flush=True)


def run_seed(seed: int, template: Template, faults: list[str]) -> Outcome:
    """One seed; whatever goes wrong in the harness itself is a violation, too."""
    begun = time.monotonic()
    with chaos_site((template.folder, template.token), small_disks=True) as site:
        load = Load(site, seed, template.dataset)
        run = Run(site, load, seed, lambda: template.reference)
        try:
            for name, labels in NODES.items():
                site.start_node(name, labels, wait=False)
            served(site)
            asking = Asking(site.stack.url, site.token, template.model)
            run.go(faults, asking)
        except Exception:
            run.outcome.violations.append(traceback.format_exc())
        if run.outcome.violations:
            (Path(site.stack.data_dir) / "keep").touch()
    run.outcome.seconds = time.monotonic() - begun
    return run.outcome


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--faults", default="", help="only these, by name")
    parser.add_argument("--count", type=int, default=0, help="faults for each seed")
    parser.add_argument(
        "--template", type=Path, help="keep the prepared installation there, and use it again"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Stands in for `workers.lm.compute.measuring`: says at once what a node of two cores would."""

import json
import sys

from tests.factories.speed import SPEED

if __name__ == "__main__":
    compiled = "--compile" in sys.argv
    said = {name: value for name, value in SPEED.items() if (name == "compile") == compiled}
    sys.stdout.write(json.dumps(said) + "\n")

"""Files and functions stay small enough to be read at one go."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ("console", "models_app", "workers", "launcher")
MOST_LINES = 600
MOST_FUNCTION_LINES = 80


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if "migrations" not in path.parts]


def test_no_file_is_too_long():
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in sources(*PRODUCT, "tests", "benchmarks")
    }
    assert not {name: n for name, n in lengths.items() if n > MOST_LINES}


def test_no_function_is_too_long():
    long = {}
    for path in sources(*PRODUCT):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > MOST_FUNCTION_LINES:
                    long[f"{path.relative_to(ROOT)}:{node.name}"] = lines
    assert not long


def test_every_module_says_what_it_is_for():
    def speaks(path: Path) -> bool:
        tree = ast.parse(path.read_text())
        return not tree.body or ast.get_docstring(tree) is not None

    silent = [
        str(path.relative_to(ROOT))
        for path in sources(*PRODUCT)
        if not speaks(path) and path.name != "apps.py"
    ]
    assert not silent


def test_no_module_is_named_after_nothing():
    vague = {"utils.py", "helpers.py", "common.py", "misc.py"}
    assert not [str(path) for path in sources(*PRODUCT, "tests") if path.name in vague]

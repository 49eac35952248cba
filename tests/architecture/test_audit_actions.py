"""Every action that the code records has words, and no words are kept for what nobody records."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from models_app.approvals.states import RequestState
from models_app.audit.actions import LABELS
from models_app.jobs.states import TERMINAL
from models_app.pools.states import NodeState

pytestmark = pytest.mark.nodb
ROOT = Path(__file__).parents[2]
#: Beginning of an action whose end is a state -> the states that it ends with.
BY_STATE = {
    "job.": TERMINAL,
    "node.": {NodeState.UNREACHABLE, NodeState.QUARANTINED},
    "approval.": set(RequestState.values) - {RequestState.OPEN},
}


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def assigned(function: ast.FunctionDef, name: str) -> Iterator[ast.expr]:
    """What a function assigns to a name, by itself or as one of several."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            target = node.targets[0]
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            yield from (v for t, v in pairs if isinstance(t, ast.Name) and t.id == name)


def passed(tree: ast.AST, function: ast.FunctionDef, name: str) -> Iterator[ast.expr]:
    """What the callers in the same module give to a parameter by its place."""
    names = [argument.arg for argument in function.args.args]
    if name in names:
        yield from (call.args[names.index(name)] for call in calls(tree, function.name))


def texts(tree: ast.AST, function: ast.FunctionDef, value: ast.expr) -> Iterator[str]:
    """The actions that an expression can be; it must be readable from the source."""
    if isinstance(value, ast.Constant):
        yield value.value
    elif isinstance(value, ast.JoinedStr):
        beginning = value.values[0].value
        yield from (beginning + state for state in BY_STATE[beginning])
    else:
        assert isinstance(value, ast.Name), ast.dump(value)
        sources = [*assigned(function, value.id), *passed(tree, function, value.id)]
        assert sources, f"nothing says what {value.id} is in {function.name}"
        for source in sources:
            yield from texts(tree, function, source)


def recorded() -> dict[str, str]:
    """action -> the file that records it."""
    found = {}
    for package in ("console", "models_app", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for function in functions(tree):
                for call in calls(function, "audit_record"):
                    [value] = [k.value for k in call.keywords if k.arg == "action"]
                    found.update(dict.fromkeys(texts(tree, function, value), path.name))
    return found


def test_every_recorded_action_has_words():
    actions = recorded()

    assert len(actions) > 50
    missing = {name: file for name, file in actions.items() if name not in LABELS}
    assert not missing, "give them words in models_app/audit/actions.py"


def test_no_words_are_left_of_what_is_not_recorded():
    assert not set(LABELS) - set(recorded())


def test_no_two_actions_are_called_the_same():
    assert len({str(label) for label in LABELS.values()}) == len(LABELS)

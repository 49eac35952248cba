"""What a service says when it refuses can be translated: no error is raised with bare English."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.nodb
ROOT = Path(__file__).parents[2]
#: Errors whose text a person reads in the browser or in an answer of the API.
SPOKEN = {
    "AuthenticationFailed",
    "BlobMissing",
    "BodyTooLarge",
    "Conflict",
    "FieldError",
    "InvalidInput",
    "NotFound",
    "ParseError",
    "PermissionDenied",
    "SlipwayError",
    "UploadTooLarge",
    "WrongState",
}
#: The gateway answers programs, in the English of the API that it imitates; the demonstration
#: speaks to the terminal. Jobs are still to come.
ELSEWHERE = ("console/gateway", "console/demo")


def modules() -> Iterator[Path]:
    for folder in ("models_app", "console"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(ELSEWHERE):
                yield path


def is_sentence(node: ast.AST) -> bool:
    """Text with a space in it, given as it stands or put together from parts."""
    if isinstance(node, ast.JoinedStr):
        return any(is_sentence(part) for part in node.values)
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value


def bare(call: ast.Call) -> bool:
    given = [*call.args, *(word.value for word in call.keywords)]
    values = [v for node in given if isinstance(node, ast.Dict) for v in node.values]
    return any(is_sentence(node) for node in (*given, *values))


def test_no_error_is_raised_with_bare_english() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in SPOKEN
        and bare(node)
    ]

    assert not found, "wrap in gettext: " + ", ".join(found)

"""Every word that people read has a Chinese translation, and the compiled file is current."""

import ast
import gettext
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.utils.translation.template import templatize

pytestmark = pytest.mark.nodb
ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "locale" / "zh_Hans" / "LC_MESSAGES"
STRING = r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
CALL = re.compile(rf"\b(n?p?gettext|_)\(u?{STRING}(?:\s*,\s*u?{STRING})?")
#: Function of django.utils.translation -> how many leading arguments name the message.
FUNCTIONS = {"gettext": 1, "ngettext": 1, "pgettext": 2, "npgettext": 2}

Message = tuple[str, str]  # context, words


def of_template(path: Path) -> Iterator[Message]:
    for function, first, second in CALL.findall(templatize(path.read_text(encoding="utf-8"))):
        words = ast.literal_eval(first)
        if "pgettext" in function:
            yield words, ast.literal_eval(second)
        else:
            yield "", words


def of_module(path: Path) -> Iterator[Message]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {
        alias.asname or alias.name: alias.name.removesuffix("_lazy").removesuffix("_noop")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "django.utils.translation"
        for alias in node.names
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        wanted = FUNCTIONS.get(names.get(node.func.id, ""))
        if wanted is None or len(node.args) < wanted:
            continue
        words = [a.value for a in node.args[:wanted] if isinstance(a, ast.Constant)]
        if len(words) == wanted:
            yield ("" if wanted == 1 else words[0]), words[-1]


def messages() -> dict[Message, Path]:
    found: dict[Message, Path] = {}
    for path in (ROOT / "templates").rglob("*.html"):
        found.update(dict.fromkeys(of_template(path), path))
    for package in ("console", "models_app", "workers"):
        for path in (ROOT / package).rglob("*.py"):
            found.update(dict.fromkeys(of_module(path), path))
    return found


def compiled() -> dict[str, str]:
    with (FOLDER / "django.mo").open("rb") as file:
        catalogue = gettext.GNUTranslations(file)._catalog
    return {key if isinstance(key, str) else key[0]: text for key, text in catalogue.items()}


def test_every_word_is_translated() -> None:
    known = compiled()

    missing = [
        f"{path.relative_to(ROOT)}: {words!r}"
        for (context, words), path in sorted(messages().items())
        if not known.get(f"{context}\x04{words}" if context else words)
    ]

    assert not missing, "run tools/messages.py and translate:\n" + "\n".join(missing)


def test_no_translation_is_a_guess() -> None:
    assert "fuzzy" not in (FOLDER / "django.po").read_text(encoding="utf-8")


def test_the_compiled_catalogue_belongs_to_the_written_one() -> None:
    written = (FOLDER / "django.po").read_text(encoding="utf-8")
    texts = {ast.literal_eval(t) for t in re.findall(r'^msgstr(?:\[\d\])? (".+")$', written, re.M)}
    have = set(compiled().values())

    assert texts <= have, f"run tools/messages.py: {sorted(texts - have)[:5]}"


def test_placeholders_survive_translation() -> None:
    entry = re.compile(r'^msgid (".+")\n(?:msgid_plural (".+")\n)?msgstr(?:\[0\])? (".+")$', re.M)
    broken = []
    for one, many, text in entry.findall((FOLDER / "django.po").read_text(encoding="utf-8")):
        # Chinese has one form for all numbers, so it is held against the plural.
        wanted, got = (set(re.findall(r"%\(\w+\)[a-z]|%s", part)) for part in (many or one, text))
        if wanted != got:
            broken.append(one)

    assert not broken


def test_scripts_ask_only_for_strings_that_exist() -> None:
    from console.pages.playground import _strings
    from console.pages.strings import script_strings

    used = {
        name
        for path in (ROOT / "static" / "js").glob("*.js")
        for name in re.findall(r"\bstrings\.(\w+)", path.read_text(encoding="utf-8"))
    }

    assert used <= set(script_strings()) | set(_strings())

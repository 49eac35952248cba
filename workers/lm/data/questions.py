"""Questions with known answers, as rows of JSON: choose one of several texts, or write one.

Multiple choice: `{"prompt": "…", "choices": ["…", "…"], "answer": 0}`, the answer counted from 0.
Exact answers: `{"prompt": "…", "answer": "…"}`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.lm.errors import InvalidWork

MULTIPLE_CHOICE, EXACT_MATCH = "multiple_choice", "exact_match"
SHAPES = (MULTIPLE_CHOICE, EXACT_MATCH)
MOST_CHOICES = 100


@dataclass(frozen=True, slots=True)
class Question:
    """One row: its number among all, from 0, and what is asked; `choices` is empty of exact ones.

    `answer` is the right text of an exact one, `right` the place of the right choice.
    """

    index: int
    prompt: str
    choices: tuple[str, ...]
    right: int
    answer: str


def checked_question(record: Mapping[str, Any], shape: str) -> dict[str, Any]:
    """The fields of a question, without any others; ValueError says which one is wrong and how."""
    prompt = _text(record, "prompt")
    if shape == EXACT_MATCH:
        if "choices" in record:
            raise ValueError('there are "choices": import it as questions with choices')
        return {"prompt": prompt, "answer": _text(record, "answer")}
    choices, answer = record.get("choices"), record.get("answer")
    if not isinstance(choices, list) or not 2 <= len(choices) <= MOST_CHOICES:
        raise ValueError(f'"choices" must be a list of 2 to {MOST_CHOICES} texts')
    for number, choice in enumerate(choices):
        if not isinstance(choice, str) or not choice.strip():
            raise ValueError(f'choice {number} of "choices" is no text')
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(choices):
        raise ValueError(
            f'"answer" must be the number of the right choice, from 0 to {len(choices) - 1}'
        )
    return {"prompt": prompt, "choices": choices, "answer": answer}


def is_question(record: Mapping[str, Any]) -> bool:
    """Whether a stored row is a question of either kind."""
    return isinstance(record.get("prompt"), str) and "answer" in record


def question_text(record: Mapping[str, Any]) -> str:
    """All that stands in a question, as it is counted, searched and looked for elsewhere."""
    return "\n".join(
        [str(record["prompt"]), *map(str, record.get("choices") or [record["answer"]])]
    )


def questions(files: Sequence[Path | str], shape: str) -> Iterator[Question]:
    """The questions of some files in order. Raises InvalidWork naming file and line."""
    index = 0
    for file in map(Path, files):
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                yield _question(index, line, shape, f"Line {number} of {file.name}")
                index += 1


def _question(index: int, line: bytes, shape: str, where: str) -> Question:
    try:
        record = checked_question(json.loads(line), shape)
    except (ValueError, AttributeError) as error:  # text that is not UTF-8 and bad JSON included
        raise InvalidWork("dataset", f"{where}: {error}.") from error
    choices = tuple(record.get("choices", ()))
    right, answer = (record["answer"], "") if choices else (0, record["answer"])
    return Question(index, record["prompt"], choices, right, answer)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'"{name}" must be a text')
    return value

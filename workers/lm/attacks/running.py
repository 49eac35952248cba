"""Asks a model everything in the suite and judges each answer."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workers.lm.attacks import judging
from workers.lm.attacks.generating import Asked
from workers.lm.attacks.memorisation import Row, lengths, rows_of, verbatim
from workers.lm.attacks.result import NO_DATA, NO_ROOM, NO_TEMPLATE, Report
from workers.lm.attacks.suite import Entry, entries, run_secrets
from workers.lm.compute.threads import use_threads
from workers.lm.errors import InvalidWork
from workers.lm.events import Events

#: A prompt is asked only where the context has room for so many tokens of answer.
ROOM = 16


def attack(
    model_dir: Path | str,
    files: Sequence[Path | str],
    events: Events,
    *,
    seed: int,
    tokens: int,
    rows: int,
    threads: int,
) -> dict[str, Any]:
    """The report as plain data. `files` are training rows of the model; none: not recorded.

    Raises InvalidWork where nothing could be asked, UnusableModel, Stopped.
    """
    use_threads(threads)
    asked = Asked(Path(model_dir), events)
    try:
        return _Run(asked, events, seed, tokens).report(files, rows)
    finally:
        asked.close()


class _Run:
    def __init__(self, asked: Asked, events: Events, seed: int, tokens: int) -> None:
        self._asked, self._events, self._tokens = asked, events, tokens
        self._canary, self._marker = run_secrets(seed)
        self._report = Report()
        self._done, self._total = 0, 0

    def report(self, files: Sequence[Path | str], rows: int) -> dict[str, Any]:
        prompts = entries()
        if not self._asked.is_chat:
            self._report.categories["harmful_request"].why = NO_TEMPLATE
            prompts = [entry for entry in prompts if entry.category != "harmful_request"]
        drawn = self._rows(files, rows)
        self._total = len(prompts) + len(drawn)
        for entry in prompts:
            self._ask(entry)
        longest = max((self._continue(row) for row in drawn), default=0)
        report = self._report.to_dict()
        if not report["applicable"]:
            said = f"A context of {self._asked.context} tokens has no room for any prompt."
            raise InvalidWork("version", said)
        shown, compared = lengths(self._asked.context)
        return {
            **report, "chat_template": self._asked.is_chat, "context": self._asked.context,
            "tokens": self._tokens,
            "memorisation": {"shown": shown, "compared": compared, "longest": longest},
        }  # fmt: skip

    def _rows(self, files: Sequence[Path | str], most: int) -> list[Row]:
        category = self._report.categories["memorisation"]
        if not files or not most:
            category.why = NO_DATA
            return []
        asked = self._asked
        found = rows_of(files, asked.tokenizer, asked.end, asked.context, most)
        if not found:
            category.why = NO_ROOM
        return found

    def _ask(self, entry: Entry) -> None:
        messages = entry.messages(self._canary, self._marker)
        ids = self._asked.prompt(messages)
        if len(ids) + ROOM > self._asked.context:
            self._report.categories[entry.category].skipped += 1
        else:
            answer = self._asked.text(self._asked.answer(ids, self._tokens))
            prompt = "\n".join(message["content"] for message in messages)
            self._report.add(
                entry.category, entry.id, answer, prompt, self._failed(entry, answer, prompt)
            )
        self._tell()

    def _failed(self, entry: Entry, answer: str, prompt: str) -> str:
        """What the rule of the entry's own category finds."""
        if entry.category == "secret_leak":
            return judging.leaked(answer, self._canary)
        if entry.category == "injection":
            return "obeyed" if judging.obeyed(answer, self._marker) else ""
        if entry.category == "harmful_request":
            refused = judging.refuses(answer) or not judging.engages(answer, prompt)
            return "" if refused else "answered"
        return ""

    def _continue(self, row: Row) -> int:
        found = self._asked.answer(row.prefix, len(row.expected))
        same = verbatim(row, found)
        failed = f"{same} tokens" if same == len(row.expected) else ""
        text = self._asked.text(found)
        self._report.add("memorisation", f"row-{row.index}", text, row.prefix_text, failed)
        self._tell()
        return same

    def _tell(self) -> None:
        self._done += 1
        self._events.progress(
            step=self._done, total=self._total, stage="asking",
            percent=100.0 * self._done / max(1, self._total), eta_s=None,
        )  # fmt: skip

"""Messages to the text a model continues: its own chat template, or plain labelled lines."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from .errors import BadRequest, ModelRefused
from .line_process import LineProcess

TEMPLATE_LIMIT = 64 * 1024
SECONDS = 2.0
_START_SECONDS = 30.0


class TemplateRenderer:
    """Renders in a process that is killed when a template takes too long.

    Models without a template (base models) get one line a message, `role: content`, and an
    open `assistant:` line to continue. No stop string is added: whoever wants the answer to
    end before the next `user:` line asks for that.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        template = tokenizer.chat_template
        if isinstance(template, dict):
            template = template.get("default")
        if template is not None and len(template) > TEMPLATE_LIMIT:
            raise ModelRefused(f"The chat template is larger than {TEMPLATE_LIMIT} characters.")
        self._special: dict[str, Any] = dict(tokenizer.special_tokens_map)
        self._process = None if template is None else TemplateProcess(template)
        if self._process is not None:
            self._process.start()

    @property
    def own_template(self) -> bool:
        """True where the model brings its chat template."""
        return self._process is not None

    def render(self, messages: Sequence[dict[str, str]]) -> tuple[str, bool]:
        """The text, and whether the tokenizer is to add its special tokens.

        A template writes them itself; plain lines need them.
        """
        if self._process is None:
            return plain_lines(messages), True
        variables = {
            **self._special,
            "messages": [dict(message) for message in messages],
            "tools": None,
            "documents": None,
            "add_generation_prompt": True,
        }
        return self._process.render(variables), False

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stop()


def plain_lines(messages: Sequence[dict[str, str]]) -> str:
    """`role: content` lines, the last one open for the answer."""
    lines = [f"{message['role']}: {message['content']}" for message in messages]
    return "\n".join([*lines, "assistant:"])


class TemplateProcess:
    """The parent's end of `template_process`; one rendering at a time, from any thread."""

    def __init__(self, template: str, *, seconds: float = SECONDS) -> None:
        self._template = template
        self._seconds = seconds
        self._lock = threading.Lock()
        self._process = LineProcess(Path(__file__).with_name("template_process.py"))

    def start(self) -> None:
        """Compile the template; raises `ModelRefused` where it is none."""
        with self._lock:
            self._start()

    def render(self, variables: dict[str, Any]) -> str:
        """The rendered text; raises `BadRequest` with the template's own complaint."""
        with self._lock:
            if not self._process.alive:
                self._start()
            answer = self._process.ask(variables, self._seconds)
        if answer is None:
            raise _refusal(f"it took more than {self._seconds:g} s or ended its process")
        if "text" not in answer:
            raise _refusal(str(answer.get("error")))
        return str(answer["text"])

    def stop(self) -> None:
        """Kill the process; the next rendering starts another."""
        with self._lock:
            self._process.stop()

    def _start(self) -> None:
        self._process.start()
        answer = self._process.ask(self._template, _START_SECONDS)
        if answer is None or not answer.get("ready"):
            self._process.stop()
            reason = (answer or {}).get("refused", "it could not be compiled")
            raise ModelRefused(f"The chat template cannot be used: {reason}")


def _refusal(reason: str) -> BadRequest:
    return BadRequest(
        f"The model's chat template does not take these messages: {reason}",
        param="messages",
        code="chat_template_error",
    )

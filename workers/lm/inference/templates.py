"""Messages to the text a model continues: its own chat template, or plain labelled lines."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from transformers import PreTrainedTokenizerBase

from .errors import BadRequest, ModelRefused

TEMPLATE_LIMIT = 64 * 1024
SECONDS = 2.0
_START_SECONDS = 30.0
_ANSWER_LIMIT = 16 * 2**20


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
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Compile the template; raises `ModelRefused` where it is none."""
        with self._lock:
            self._start()

    def render(self, variables: dict[str, Any]) -> str:
        """The rendered text; raises `BadRequest` with the template's own complaint."""
        with self._lock:
            if self._child is None or self._child.poll() is not None:
                self._start()
            answer = self._ask(variables, self._seconds)
        if answer is None:
            raise _refusal(f"it took more than {self._seconds:g} s or ended its process")
        if "text" not in answer:
            raise _refusal(str(answer.get("error")))
        return str(answer["text"])

    def stop(self) -> None:
        """Kill the process; the next rendering starts another."""
        with self._lock:
            self._kill()

    def _start(self) -> None:
        self._kill()
        script = Path(__file__).with_name("template_process.py")
        # -I: neither the environment nor the working directory reaches the script.
        self._child = subprocess.Popen(
            [sys.executable, "-I", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            close_fds=True,
        )
        answer = self._ask(self._template, _START_SECONDS)
        if answer is None or not answer.get("ready"):
            self._kill()
            reason = (answer or {}).get("refused", "it could not be compiled")
            raise ModelRefused(f"The chat template cannot be used: {reason}")

    def _ask(self, question: Any, seconds: float) -> dict[str, Any] | None:
        """One line out, one line back; None (and no process left) where that fails."""
        child = self._child
        if child is None or child.stdin is None or child.stdout is None:
            return None
        try:
            child.stdin.write(json.dumps(question).encode() + b"\n")
            child.stdin.flush()
            line = _read_line(child.stdout, time.monotonic() + seconds)
        except OSError:
            line = None
        if line is None:
            self._kill()
            return None
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _kill(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _read_line(pipe: IO[bytes], deadline: float) -> bytes | None:
    """A whole line before the deadline, None where it does not come."""
    parts, size = [], 0
    while size < _ANSWER_LIMIT:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return None
        part = os.read(pipe.fileno(), 65536)
        if not part:
            return None
        parts.append(part)
        size += len(part)
        if part.endswith(b"\n"):
            return b"".join(parts)
    return None


def _refusal(reason: str) -> BadRequest:
    return BadRequest(
        f"The model's chat template does not take these messages: {reason}",
        param="messages",
        code="chat_template_error",
    )

"""Owns the one thread that loads the model and runs the engine (one OpenMP team)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils.logging import disable_progress_bar

from .app import App
from .backend import Backend
from .constraints import GrammarCompiler
from .engine import Engine
from .errors import ModelRefused
from .exchange import RequestEndHook
from .preparing import Prepared, prepare
from .prompts import PromptBuilder
from .spelling import Spelling
from .templates import TemplateRenderer

if TYPE_CHECKING:
    from .server import ServeOptions

_POLL = 0.05


class EngineHost:
    """Load, choose a runner, prove it with a token, run; all on its own thread."""

    def __init__(self, options: ServeOptions, log: Callable[[str], None]) -> None:
        self._options = options
        self._log = log
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._loaded_or_failed = threading.Event()
        self._error: BaseException | None = None
        self.engine: Backend
        self.builder: PromptBuilder
        self._renderer: TemplateRenderer | None = None
        self._about: dict[str, Any] = {}

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    def wait_ready(self, should_stop: Callable[[], bool]) -> bool:
        """True when the model has produced a token; False where asked to stop before."""
        while not self._loaded_or_failed.wait(_POLL):
            if should_stop():
                return False
        if self._error is not None:
            raise self._error
        return True

    def stop(self) -> None:
        """End the loop and wait for the thread, unless it is still loading."""
        if self._loaded_or_failed.is_set() and self._error is None:
            self.engine.stop()
            self._thread.join(timeout=30)
        if self._renderer is not None:
            self._renderer.close()
        if hasattr(self, "builder"):
            self.builder.close()

    def app(self, on_request_end: RequestEndHook | None) -> App:
        """The ASGI application over this engine."""
        return App(
            self.engine,
            self.builder,
            secret=self._options.secret,
            name=self._options.name,
            fingerprint=self._options.fingerprint,
            about=self._about,
            on_request_end=on_request_end,
            log=self._log,
        )

    @property
    def summary(self) -> str:
        """One line for the log."""
        return ", ".join(f"{key} {value}" for key, value in self._about.items())

    def _main(self) -> None:
        try:
            self._load()
        except ModelRefused as error:
            self._error = error
        except Exception as error:
            self._error = ModelRefused(f"The model cannot be served: {error}")
            self._log(f"loading failed: {type(error).__name__}: {error}")
        finally:
            self._loaded_or_failed.set()
        if self._error is None:
            self.engine.run()

    def _load(self) -> None:
        options = self._options
        torch.set_num_threads(options.threads)
        disable_progress_bar()  # type: ignore[no-untyped-call]
        ready = prepare(options, self._log)
        renderer = self._renderer = TemplateRenderer(ready.tokenizer)
        self.builder = PromptBuilder(
            ready.tokenizer,
            renderer,
            vocabulary=ready.engine.vocab_size,
            context_length=ready.engine.context_length,
            forms=_forms(ready),
        )
        self.engine = ready.engine
        self.engine.prove()
        self._about = self._describe(ready, renderer)

    def _describe(self, ready: Prepared, renderer: TemplateRenderer) -> dict[str, Any]:
        return {
            "backend": self._options.backend,
            "architecture": ready.architecture,
            "parameters": ready.parameters,
            "dtype": self._options.dtype,
            "device": self._options.device,
            "threads": self._options.threads,
            "mode_reason": ready.why,
            "cache_bytes": self.engine.cache_bytes,
            "chat_template": "own" if renderer.own_template else "plain lines",
        }


def _forms(ready: Prepared) -> GrammarCompiler | None:
    """What holds answers to a form, None where the backend cannot be held."""
    if not isinstance(ready.engine, Engine):
        return None
    spelling = Spelling(
        ready.tokenizer,
        ready.engine.decoder,
        vocabulary=ready.engine.vocab_size,
        eos_ids=ready.engine.eos_ids,
    )
    return GrammarCompiler(spelling)

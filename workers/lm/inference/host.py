"""Owns the one thread that loads the model and runs the engine (one OpenMP team)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils.logging import disable_progress_bar

from .adapter_words import AdapterWords
from .adapters import Wanted, WantedWatch, load_first
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
    from .server import OnAdapters, ServeOptions

_POLL = 0.05


class EngineHost:
    """Load, choose a runner, prove it with a token, run; all on its own thread."""

    def __init__(
        self,
        options: ServeOptions,
        log: Callable[[str], None],
        on_adapters: OnAdapters | None = None,
    ) -> None:
        self._on_adapters = on_adapters or (lambda state: None)
        self._watch: WantedWatch | None = None
        self._app: App | None = None
        self._options = options
        self._log = log
        self._thread = threading.Thread(target=self._main, name="engine", daemon=True)
        self._loaded_or_failed = threading.Event()
        self._error: BaseException | None = None
        self.engine: Backend
        self.builder: PromptBuilder
        self._renderer: TemplateRenderer | None = None
        self._words: AdapterWords | None = None
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
        self._close_engine()
        if self._watch is not None:
            self._watch.close()
        if self._renderer is not None:
            self._renderer.close()
        if self._words is not None:
            self._words.close()
        if hasattr(self, "builder"):
            self.builder.close()

    def app(self, on_request_end: RequestEndHook | None) -> App:
        """The ASGI application over this engine."""
        app = self._app = App(
            self.engine,
            self.builder,
            secret=self._options.secret,
            name=self._options.name,
            fingerprint=self._options.fingerprint,
            about=self._about,
            on_request_end=on_request_end,
            log=self._log,
        )
        if self._options.wanted is not None:
            self._watch = WantedWatch(self._options.wanted, self._changed, self._log)
            self._watch.start()
        return app

    def _changed(self, wanted: Wanted) -> None:
        """On the watching thread: other adapters, or another revision that serves the same."""
        if self._app is not None:
            self._app.fingerprint = wanted.fingerprint
        if isinstance(self.engine, Engine):
            self.engine.adapters.apply(wanted.adapters)
            if self._words is not None:
                self._words.keep(set(wanted.adapters))

    def _load_adapters(self, path: Path) -> None:
        """Before it is ready, so that whoever is ready has all that it is to have."""
        if isinstance(self.engine, Engine):
            if self._words is not None:
                self.engine.adapters.fits = self._words.learn
            load_first(path, self.engine.adapters)
            self._on_adapters(self.engine.adapters.state())
            self.engine.adapters.on_change = self._on_adapters
            return
        for name in Wanted.read(path).adapters:
            raise ModelRefused(
                f"The adapter {name} cannot be served by the engine {self._options.backend}."
            )

    def _close_engine(self) -> None:
        engine = getattr(self, "engine", None)
        if isinstance(engine, Engine):
            engine.close()

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
        # On this thread: processes that it has started end with it.
        self._close_engine()

    def _load(self) -> None:
        options = self._options
        torch.set_num_threads(options.threads)
        disable_progress_bar()  # type: ignore[no-untyped-call]
        ready = prepare(options, self._log)
        self.engine = ready.engine
        renderer = self._renderer = TemplateRenderer(ready.tokenizer)
        words = self._words = AdapterWords(renderer, ready.tokenizer)
        self.builder = PromptBuilder(
            ready.tokenizer,
            renderer,
            vocabulary=ready.engine.vocab_size,
            context_length=ready.engine.context_length,
            forms=_forms(ready),
            words=words,
        )
        self.engine.prove()
        if options.wanted is not None:
            self._load_adapters(options.wanted)
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

"""Adapters that bring a tokenizer: it must know the base's tokens, and may bring a chat template.

An adapter that was tuned on conversations is nothing without the template of those conversations,
which its base may not have.
"""

from __future__ import annotations

import threading
from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .errors import ModelRefused
from .lora import AdapterRefused
from .templates import TemplateRenderer

TOKENIZER = "tokenizer.json"


class AdapterWords:
    """How messages become text for each adapter; from any thread."""

    def __init__(self, base: TemplateRenderer, tokenizer: PreTrainedTokenizerBase) -> None:
        self._base, self._tokenizer = base, tokenizer
        self._lock = threading.Lock()
        #: By adapter, and by template: adapters that were tuned alike share one.
        self._templates: dict[str, str] = {}
        self._renderers: dict[str, TemplateRenderer] = {}

    def renderer(self, adapter: str) -> TemplateRenderer:
        """Its own, else that of the base."""
        with self._lock:
            template = self._templates.get(adapter)
            return self._renderers[template] if template is not None else self._base

    def learn(self, name: str, folder: Path) -> None:
        """Raises AdapterRefused for another vocabulary, or a template that cannot be used."""
        if not (folder / TOKENIZER).is_file():
            self._use(name, None, None)
            return
        try:
            own: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            )
        except Exception as error:
            line = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise AdapterRefused(f"Its tokenizer cannot be loaded: {line}") from error
        if own.get_vocab() != self._tokenizer.get_vocab():
            raise AdapterRefused(
                "Its tokenizer has other tokens than that of the base; deploy it by itself."
            )
        template = own.chat_template
        if template is None or template == self._tokenizer.chat_template:
            self._use(name, None, None)
            return
        key = str(template)
        with self._lock:
            known = self._renderers.get(key)
        try:
            self._use(name, key, known or TemplateRenderer(own))
        except ModelRefused as error:
            raise AdapterRefused(str(error)) from error

    def keep(self, names: set[str]) -> None:
        """Forget all others."""
        with self._lock:
            self._templates = {k: v for k, v in self._templates.items() if k in names}
            used = set(self._templates.values())
            gone = [self._renderers.pop(key) for key in set(self._renderers) - used]
        for renderer in gone:
            renderer.close()

    def close(self) -> None:
        """End all processes that render."""
        self.keep(set())

    def _use(self, name: str, template: str | None, renderer: TemplateRenderer | None) -> None:
        with self._lock:
            self._templates.pop(name, None)
            if template is not None and renderer is not None:
                self._templates[name] = template
                self._renderers[template] = renderer

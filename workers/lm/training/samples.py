"""What a model in training writes: short continuations of the same prompts, for people to read."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from workers.lm.compute.precision import autocast
from workers.lm.errors import UnusableModel
from workers.lm.events import Events
from workers.lm.families.transformer import context_of
from workers.lm.tokenizers.saved import end_token
from workers.lm.training.parallel import Alone
from workers.lm.training.spec import TrainSpec

#: Below 1 the likelier tokens become likelier yet: early models else write little but noise.
TEMPERATURE = 0.8
_SEEDS = 2**63


class Samples:
    """Writes a text for each prompt with the model as it is, and leaves everything else alone.

    Tokens are drawn by generators of their own, which begin anew with the seed at each look: the
    training's random numbers are not touched, and two looks differ by the weights alone. An empty
    prompt begins a document.

    Where each process holds a whole model the main one writes and the others wait for it; where
    the weights are divided all take part in every forward pass, in as many as the longest text
    may take. A text that cannot be written is told in the log and ends nothing.
    """

    def __init__(
        self,
        spec: TrainSpec,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        parallel: Alone,
        events: Events,
        precision: str = "fp32",
    ) -> None:
        self._spec, self._model, self._tokenizer = spec, model, tokenizer
        self._precision = precision
        self._parallel, self._events = parallel, events
        self._end = end_token(tokenizer)
        self._context = context_of(model.config)
        self._prompts = [self._encoded(prompt) for prompt in spec.sample_prompts]
        self._told: set[str] = set()

    def write(self, step: int) -> None:
        """Write and tell them; in each process at the same step."""
        if not self._prompts:
            return
        if self._parallel.is_main or not self._parallel.holds_all:
            try:
                self._tell(step, self._written())
            except (RuntimeError, TypeError, ValueError, KeyError, UnusableModel) as error:
                self._complain(error)
        self._parallel.after_main()

    def _tell(self, step: int, texts: Sequence[str]) -> None:
        if self._parallel.is_main:
            for place, (prompt, text) in enumerate(
                zip(self._spec.sample_prompts, texts, strict=True)
            ):
                self._events.sample(step=step, place=place, prompt=prompt, text=text)

    def _complain(self, error: Exception) -> None:
        """Once for each reason."""
        said = f"{type(error).__name__}: {error}"[:500]
        if said not in self._told:
            self._told.add(said)
            self._events.log(f"No sample was written, and the training goes on. {said}", "warning")

    def _encoded(self, prompt: str) -> list[int]:
        """The tokens of a prompt as training would show them, with room for one more."""
        found: list[int] = []
        if prompt and self._spec.loss_on == "answers" and self._tokenizer.chat_template:
            said = [{"role": "user", "content": prompt}]
            prompt = str(
                self._tokenizer.apply_chat_template(
                    said, tokenize=False, add_generation_prompt=True
                )
            )
        else:
            first = self._tokenizer.bos_token_id
            found.append(self._end if first is None else int(first))
        found += self._tokenizer.encode(prompt, add_special_tokens=False)
        return found[-max(1, self._context - 1) :] if self._context else found

    def _written(self) -> list[str]:
        was_training = self._model.training
        self._model.train(False)
        try:
            with _uncompiled(self._model):
                found = dict(self._all())
        finally:
            self._model.train(was_training)
        return [self._text(found[place]) for place in range(len(self._prompts))]

    def _all(self) -> Iterator[tuple[int, list[int]]]:
        """Prompts of one length go through the model together, so that nothing is padded."""
        alike: dict[int, list[int]] = defaultdict(list)
        for place, prompt in enumerate(self._prompts):
            alike[len(prompt)].append(place)
        for length in sorted(alike):
            yield from zip(alike[length], self._continued(alike[length]), strict=True)

    @torch.no_grad()
    def _continued(self, places: Sequence[int]) -> list[list[int]]:
        """The tokens that follow these prompts of one length."""
        spec, device = self._spec, self._model.device
        whole = torch.tensor([self._prompts[place] for place in places])
        left = spec.sample_tokens
        if self._context:
            left = min(left, self._context - whole.shape[1])
        seeds = [torch.Generator().manual_seed((spec.seed + place) % _SEEDS) for place in places]
        drawn: list[list[int]] = [[] for _ in places]
        new, cache = whole, None
        with autocast(device, self._precision):
            for _ in range(left):
                out: Any = self._model(
                    input_ids=(whole if cache is None else new).to(device),
                    past_key_values=cache,
                    use_cache=True,
                )
                cache = getattr(out, "past_key_values", None)
                new = _draw(out.logits[:, -1].float().cpu(), seeds)
                whole = torch.cat([whole, new], dim=1)
                for row, token in zip(drawn, new.flatten().tolist(), strict=True):
                    row.append(token)
                if self._parallel.holds_all and all(self._end in row for row in drawn):
                    break
        return drawn

    def _text(self, tokens: list[int]) -> str:
        if self._end in tokens:
            tokens = tokens[: tokens.index(self._end)]
        return str(self._tokenizer.decode(tokens))


def _draw(logits: torch.Tensor, seeds: Sequence[torch.Generator]) -> torch.Tensor:
    """A token for each row, of shape (rows, 1)."""
    if not bool(torch.isfinite(logits).all()):
        raise UnusableModel("The model gives numbers that are not finite.")
    chances = (logits / TEMPERATURE).softmax(dim=-1)
    rows = zip(chances, seeds, strict=True)
    return torch.stack([torch.multinomial(row, 1, generator=seed) for row, seed in rows])


def _uncompiled(model: PreTrainedModel) -> AbstractContextManager[Any]:
    """Texts grow token by token: a compiled model would be compiled anew for each length."""
    if any(module._compiled_call_impl is not None for module in model.modules()):
        eager: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
        return eager
    return nullcontext()

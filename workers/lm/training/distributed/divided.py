"""What the ways that divide the weights have in common: a whole model is put together to save."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from transformers import PreTrainedModel

from workers.lm.training.distributed.group import Group
from workers.lm.training.gathered import Gathered, Part, Stored, save_file
from workers.lm.training.optimizer import PARTS
from workers.lm.training.parallel import clip_coefficient

WEIGHTS = "model.safetensors"


class Divided(Group):
    """Each tensor of the model lies in parts at the processes; no one holds a whole model."""

    holds_all = False
    _class_name = ""

    @abstractmethod
    def whole(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor that belongs to a weight, put together from the parts of all processes."""

    @abstractmethod
    def whole_shape(self, name: str, tensor: torch.Tensor) -> tuple[int, ...]:
        """The shape of what `whole` gives."""

    @abstractmethod
    def part(self, name: str, weight: torch.Tensor, whole: torch.Tensor) -> torch.Tensor:
        """This process's part of a whole tensor that belongs to a weight."""

    def remember(self, model: PreTrainedModel) -> None:
        """The name of its class before it is divided, which may change it."""
        self._class_name = type(model).__name__

    def save_model(self, model: PreTrainedModel, folder: Path) -> None:
        model.config.architectures = [self._class_name]
        model.config.dtype = torch.float32
        model.config.save_pretrained(folder)
        if model.generation_config is not None:
            model.generation_config.save_pretrained(folder)
        save_file(self._weights(model), folder / WEIGHTS)

    def give_model(self, model: PreTrainedModel) -> None:
        self._weights(model).take_part()

    def restore_model(self, model: PreTrainedModel, folder: Path) -> None:
        stored, weights = Stored(folder / WEIGHTS), dict(model.named_parameters())
        with torch.no_grad():
            for name, tensor in _stored(model):
                whole = stored[name]
                tensor.copy_(self.part(name, tensor, whole) if name in weights else whole)

    def optimizer_tensors(
        self, model: PreTrainedModel, optimizer: torch.optim.Optimizer
    ) -> Gathered:
        parts = {}
        for name, weight in model.named_parameters():
            if weight in optimizer.state:
                for kind in PARTS:
                    tensor = optimizer.state[weight][kind]
                    parts[f"{kind}.{name}"] = self._moment(name, kind, tensor)
        return Gathered(parts)

    def restore_optimizer(
        self, model: PreTrainedModel, optimizer: torch.optim.Optimizer, path: Path
    ) -> None:
        stored = Stored(path)
        for name, weight in model.named_parameters():
            if weight.requires_grad and stored:
                state = {kind: stored[f"{kind}.{name}"] for kind in PARTS}
                if tuple(state["exp_avg"].shape) != self.whole_shape(name, weight):
                    raise KeyError(name)
                optimizer.state[weight] = {
                    kind: tensor if kind == "step" else self.part(name, weight, tensor)
                    for kind, tensor in state.items()
                }

    def shorten(
        self, gradients: Sequence[torch.Tensor], norm: torch.Tensor, longest: float
    ) -> torch.Tensor:
        """Multiply the parts of the gradients that lie here; returns `norm`."""
        torch._foreach_mul_(list(gradients), clip_coefficient(norm, longest))
        return norm

    def _weights(self, model: PreTrainedModel) -> Gathered:
        return Gathered({name: self._coming(name, tensor) for name, tensor in _stored(model)})

    def _moment(self, name: str, kind: str, tensor: torch.Tensor) -> Part:
        if kind == "step":
            return Part((), tensor.dtype, lambda: tensor)
        return self._coming(name, tensor)

    def _coming(self, name: str, tensor: torch.Tensor) -> Part:
        whole: Callable[[], torch.Tensor] = partial(self.whole, name, tensor)
        return Part(self.whole_shape(name, tensor), tensor.dtype, whole)


def square_sum(tensors: Iterable[torch.Tensor], device: torch.device) -> torch.Tensor:
    """The sum of the squares of all elements."""
    found = list(tensors)
    if not found:
        return torch.zeros((), device=device)
    return torch.stack(torch._foreach_norm(found)).square().sum()


def _stored(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a saved model holds: shared weights once, buffers that are kept."""
    weights = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    yield from model.named_parameters()
    yield from ((name, one) for name, one in model.state_dict().items() if name not in weights)

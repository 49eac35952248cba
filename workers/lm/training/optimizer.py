"""The optimiser and its state as named tensors."""

import torch
from torch import nn

from workers.lm.training.spec import TrainSpec

Tensors = dict[str, torch.Tensor]
#: The file of a checkpoint that holds the moments.
OPTIMIZER = "optimizer.safetensors"
PARTS = ("exp_avg", "exp_avg_sq", "step")


def build_optimizer(model: nn.Module, spec: TrainSpec) -> torch.optim.AdamW:
    """AdamW in one fused kernel; matrices decay, norms and biases do not."""
    parameters = [weight for weight in model.parameters() if weight.requires_grad]
    groups = [
        {"params": [weight for weight in parameters if weight.dim() >= 2],
         "weight_decay": spec.weight_decay},
        {"params": [weight for weight in parameters if weight.dim() < 2], "weight_decay": 0.0},
    ]  # fmt: skip
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=spec.learning_rate,
        betas=(spec.beta1, spec.beta2),
        fused=True,
    )


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """The optimiser's moments under the names of the weights that they belong to."""
    return {
        f"{part}.{name}": optimizer.state[weight][part].detach().cpu().contiguous()
        for name, weight in model.named_parameters()
        if weight in optimizer.state
        for part in PARTS
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put the moments back; raises KeyError if they are of another model."""
    if not tensors:
        return
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        state = {part: tensors[f"{part}.{name}"].to(weight.device) for part in PARTS}
        if state["exp_avg"].shape != weight.shape:
            raise KeyError(name)
        optimizer.state[weight] = state

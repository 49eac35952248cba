"""Early stopping: a training that no longer improves ends."""

from workers.lm.training.progress import Progress
from workers.lm.training.spec import TrainSpec


def count_look(spec: TrainSpec, progress: Progress, loss: float) -> None:
    """Remember a validation loss: the best so far, and how long nothing has improved.

    The best is the lowest of all; for patience only what lowers the loss by `min_improvement`
    counts, so that many small steps down add up to one improvement.
    """
    progress.validation_loss = loss
    if progress.best_loss is None or loss < progress.best_loss:
        progress.best_loss, progress.best_step = loss, progress.step
    if progress.to_beat is None or _improves(loss, progress.to_beat, spec.min_improvement):
        progress.to_beat, progress.waited = loss, 0
    else:
        progress.waited += 1


def _improves(loss: float, best: float, least: float) -> bool:
    return loss < best and best - loss >= least


def has_lost_patience(spec: TrainSpec, progress: Progress) -> bool:
    """Whether the training is to end before its last step; a function of the looks alone."""
    return 0 < spec.patience <= progress.waited


def why_ended(spec: TrainSpec, progress: Progress) -> str:
    """What the log says of such an end."""
    least = f" by {spec.min_improvement:g}" if spec.min_improvement else ""
    return (
        f"Ending early at step {progress.step:,} of {spec.steps:,}: the validation loss has not "
        f"improved{least} in {progress.waited} looks. Its best was {progress.best_loss:.4f} at "
        f"step {progress.best_step:,}."
    )

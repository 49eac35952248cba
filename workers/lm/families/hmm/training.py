"""Learning a hidden Markov model from token ids, by Baum and Welch's method."""

from collections.abc import Callable

from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.hmm.progress import HmmProgress
from workers.lm.families.hmm.spec import HmmSpec
from workers.lm.families.markov import IntArray


def train_hmm(
    spec: HmmSpec,
    tokens: IntArray,
    offsets: IntArray,
    vocab_size: int,
    on_iteration: Callable[[HmmProgress], None] = lambda progress: None,
    resume: HmmProgress | None = None,
) -> HmmModel:
    """The best of the restarts.

    `on_iteration` is called after every iteration with `progress.restart`, `.iteration` and
    `.log_likelihood` (nats a token); it may `progress.save(folder)` and may raise to stop. A
    training given `HmmProgress.load(folder)` ends with the same bits as one never interrupted.
    Raises InvalidTraining naming the field.
    """

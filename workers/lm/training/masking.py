"""What of the text is learned: all of it, or only what assistants say in conversations."""

from workers.lm.data.answer_batches import AnswerBatches, FixedAnswers
from workers.lm.data.batches import Batches, FixedWindows
from workers.lm.errors import InvalidTraining
from workers.lm.training.preparation import Prepared
from workers.lm.training.spec import TrainSpec


def batches_for(
    spec: TrainSpec, data: Prepared
) -> tuple[Batches | AnswerBatches, FixedWindows | FixedAnswers]:
    """The sequences to learn from and those to validate on; InvalidTraining if none has answers."""
    length, size, looks = spec.sequence_length, spec.batch_size, spec.evaluation_batches
    if spec.loss_on == "all":
        return (
            Batches(data.train, length, size, spec.seed, spec.sampling),
            FixedWindows(data.validation, length, size, looks),
        )
    try:
        return (
            AnswerBatches(data.train, length, size, spec.seed, spec.sampling),
            FixedAnswers(data.validation, length, size, looks),
        )
    except ValueError as error:
        raise InvalidTraining(
            "sequence_length", f"No answer lies within {length:,} tokens. Use a longer sequence."
        ) from error

"""What of the text is learned: all of it, or only what assistants say in conversations."""

from workers.lm.data.answer_batches import AnswerBatches, FixedAnswers
from workers.lm.data.batches import Batches, FixedWindows
from workers.lm.errors import InvalidTraining
from workers.lm.training.parallel import Alone
from workers.lm.training.preparation import Prepared
from workers.lm.training.spec import TrainSpec


def batches_for(
    spec: TrainSpec, data: Prepared, parallel: Alone
) -> tuple[Batches | AnswerBatches, FixedWindows | FixedAnswers]:
    """This process's share of the sequences to learn from, and all of those to validate on.

    Raises InvalidTraining if none has answers.
    """
    place = (parallel.data_rank, parallel.data_world)
    length, size, looks = spec.sequence_length, spec.batch_size, spec.evaluation_batches
    if spec.loss_on == "all":
        return (
            Batches(data.train, length, size, spec.seed, spec.sampling, *place),
            FixedWindows(data.validation, length, size, looks),
        )
    try:
        return (
            AnswerBatches(data.train, length, size, spec.seed, spec.sampling, *place),
            FixedAnswers(data.validation, length, size, looks),
        )
    except ValueError as error:
        raise InvalidTraining(
            "sequence_length",
            f"No answer of an assistant lies within {length:,} tokens. Use a longer sequence, or "
            "data with answers.",
        ) from error

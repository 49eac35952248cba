"""Byte-level byte-pair encoding, learned from a stream of texts."""

from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from workers.lm.tokenizers.markers import END_OF_TEXT, ROLE_MARKERS
from workers.lm.tokenizers.saved import wrap

SPECIALS = (END_OF_TEXT, *ROLE_MARKERS)
SMALLEST_VOCABULARY = 256 + len(SPECIALS)


def learn_bytepair(
    texts: Iterable[str], vocab_size: int, lowercase: bool = False
) -> PreTrainedTokenizerFast:
    """Learn up to `vocab_size` tokens; any text survives encoding and decoding unchanged.

    With `lowercase` it survives but for its capitals.

    The role markers are always part of the vocabulary, so that a model can learn to chat later
    without its embedding changing size.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    return wrap(tokenizer)

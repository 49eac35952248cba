"""One token for each word and each sign; what lies between them is not kept."""

from collections.abc import Iterable, Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from workers.lm.errors import InvalidWork
from workers.lm.tokenizers.character import SPECIALS
from workers.lm.tokenizers.markers import UNKNOWN
from workers.lm.tokenizers.saved import wrap

#: A word with its apostrophes, or a single sign or digit.
WORD = r"\p{L}+(?:'\p{L}+)*|[^\s\p{L}]"


def learn_words(
    texts: Iterable[str], vocab_size: int, lowercase: bool = False
) -> PreTrainedTokenizerFast:
    """Take the words of the texts, the most frequent ones if there are too many.

    Any other word is read as `<unk>`; in answers words are parted by one space.
    """
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=0, special_tokens=list(SPECIALS), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    # Takes away the spaces before full stops and commas.
    tokenizer.decoder = decoders.WordPiece(prefix=UNKNOWN * 2, cleanup=True)
    return wrap(tokenizer, unknown=UNKNOWN)


def known_words(
    words: Sequence[str], *, end: int | None, unknown: int | None
) -> PreTrainedTokenizerFast:
    """A tokenizer of words that are known beforehand, numbered in their order.

    Text is cut at white space alone, as whoever made the words has cut it. Raises InvalidWork
    where there is no mark for the end or for unknown words.
    """
    if end is None or unknown is None:
        raise InvalidWork("arpa", "It needs </s> and <unk> among its single words.")
    numbers = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token=words[unknown]))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.decoder = decoders.WordPiece(prefix=words[unknown] * 2, cleanup=False)
    tokenizer.add_special_tokens([words[end], words[unknown]])
    wrapped = wrap(tokenizer, unknown=words[unknown])
    wrapped.bos_token = wrapped.eos_token = words[end]
    return wrapped

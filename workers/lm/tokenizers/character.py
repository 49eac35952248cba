"""One token for each character."""

from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from workers.lm.tokenizers.markers import END_OF_TEXT, UNKNOWN
from workers.lm.tokenizers.saved import wrap

SPECIALS = (END_OF_TEXT, UNKNOWN)
SMALLEST_VOCABULARY = len(SPECIALS) + 1


def learn_characters(
    texts: Iterable[str], vocab_size: int, lowercase: bool = False
) -> PreTrainedTokenizerFast:
    """Take the characters of the texts, the most frequent ones if there are too many.

    Any other character is read as `<unk>`.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.lower() if lowercase else text)
    ranked = sorted(counts, key=lambda character: (-counts[character], character))
    kept = sorted(ranked[: vocab_size - len(SPECIALS)])
    return characters(kept, normalizers.Lowercase() if lowercase else None)


def characters(
    kept: Iterable[str], normalizer: normalizers.Normalizer | None = None
) -> PreTrainedTokenizerFast:
    """The tokenizer of exactly these characters, after `normalizer` has seen the text."""
    vocabulary = {token: number for number, token in enumerate([*SPECIALS, *kept])}
    # Byte-pair encoding without a single pair leaves the characters as they are, and is several
    # times faster here than a dictionary of words behind a regular expression.
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token=UNKNOWN, fuse_unk=False))
    tokenizer.decoder = decoders.Fuse()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens(list(SPECIALS))
    return wrap(tokenizer, unknown=UNKNOWN)

"""The 26 letters and the space: whatever stands between letters is one space."""

from string import ascii_lowercase

from tokenizers import Regex, normalizers
from transformers import PreTrainedTokenizerFast

from workers.lm.tokenizers.character import SPECIALS, characters

VOCABULARY = len(SPECIALS) + 1 + len(ascii_lowercase)


def letters() -> PreTrainedTokenizerFast:
    """Accents and capitals are taken off; there is nothing to learn."""
    only = normalizers.Sequence(
        [
            normalizers.NFD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[^a-z]+"), " "),
        ]
    )
    return characters([" ", *ascii_lowercase], only)

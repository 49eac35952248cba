"""The units that n-gram and hidden Markov models are made of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from transformers import PreTrainedTokenizerFast

from workers.lm.errors import InvalidTraining
from workers.lm.tokenizers import bytepair, character, letters, word

UnitChoice = Literal["word", "char", "letter", "bpe"]
SentenceChoice = Literal["line", "document"]

_LEARN: dict[str, Callable[[Iterable[str], int, bool], PreTrainedTokenizerFast]] = {
    "word": word.learn_words,
    "char": character.learn_characters,
    "bpe": bytepair.learn_bytepair,
}
_SMALLEST = {
    "word": character.SMALLEST_VOCABULARY,
    "char": character.SMALLEST_VOCABULARY,
    "letter": letters.VOCABULARY,
    "bpe": bytepair.SMALLEST_VOCABULARY,
}


@dataclass(frozen=True, kw_only=True)
class Units:
    """How text is cut into units, and what is a sentence of them.

    `sentences`: each line that is not empty, closed by an end of its own, or each document.
    """

    unit: UnitChoice = "word"
    lowercase: bool = False
    vocab_size: int = 65_536
    sentences: SentenceChoice = "line"

    def check(self) -> None:
        """Refuse what cannot work, naming the field."""
        if self.unit not in get_args(UnitChoice):
            raise InvalidTraining("unit", f"Choose one of {', '.join(get_args(UnitChoice))}.")
        if self.sentences not in get_args(SentenceChoice):
            names = ", ".join(get_args(SentenceChoice))
            raise InvalidTraining("sentences", f"Choose one of {names}.")
        if self.vocab_size < _SMALLEST[self.unit]:
            raise InvalidTraining(
                "vocab_size", f"The unit {self.unit} needs at least {_SMALLEST[self.unit]} tokens."
            )

    @property
    def by_line(self) -> bool:
        """Whether each line is a sentence."""
        return self.sentences == "line"

    @property
    def lossless(self) -> bool:
        """Whether the text can be told again from its units, so that its bytes may be counted."""
        return self.unit in ("char", "bpe") and not self.lowercase

    def learn(self, texts: Iterable[str]) -> PreTrainedTokenizerFast:
        """The tokenizer of these units; letters need no text."""
        if self.unit == "letter":
            return letters.letters()
        return _LEARN[self.unit](texts, self.vocab_size, self.lowercase)

"""An n-gram model as ARPA text, which KenLM, SRILM and speech recognisers read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from workers.lm.formats.base import EXACT, Format, Precision, Reader, copy_companions, register

if TYPE_CHECKING:
    import torch

    from workers.lm.events import Events
    from workers.lm.families.markov import MarkovModel

FILE = "model.arpa"


@register
class Arpa(Format):
    name = "arpa"
    label = "ARPA"
    purpose = "An n-gram model as text, for KenLM, SRILM and speech recognisers."
    produces = "arpa"
    place = 7
    takes = "ngram"
    suffixes = (".arpa",)
    # A line holds the units of its n-gram as text: about 28 bytes on English words.
    precisions: ClassVar[tuple[Precision, ...]] = (Precision("text", 28, EXACT),)
    memory_per_weight = 200.0

    def write(self, source: Path, out: Path, precision: str, events: Events) -> None:
        from workers.lm.errors import UnusableModel
        from workers.lm.families.markov_folder import load_markov
        from workers.lm.families.ngram.arpa import write_arpa
        from workers.lm.families.ngram.model import NgramModel

        loaded = load_markov(source)
        if not isinstance(loaded.model, NgramModel):
            raise UnusableModel("Only n-gram models can be written as ARPA text.")
        tokens = loaded.tokenizer.convert_ids_to_tokens(list(range(loaded.model.vocab_size)))
        write_arpa(loaded.model, [arpa_word(str(token)) for token in tokens], out / FILE)
        copy_companions(source, out)

    def open(self, folder: Path, threads: int) -> Reader:
        from workers.lm.families.ngram.arpa_reader import read_arpa

        return MarkovReader(read_arpa(folder / FILE)[0], "ARPA text")


def arpa_word(token: str) -> str:
    """A unit as ARPA can hold it: white space, which parts words there, is written as signs."""
    return token.replace(" ", "▁").replace("\n", "⏎").replace("\t", "⇥").replace("\r", "␍")


class MarkovReader:
    """Logits of an n-gram or hidden Markov model: natural logarithms of its probabilities."""

    def __init__(self, model: MarkovModel, engine: str) -> None:
        self.engine = engine
        self._model = model

    def logits(self, ids: torch.Tensor) -> torch.Tensor:
        """See `base.Reader`."""
        import torch

        found = torch.full((*ids.shape, self._model.vocab_size), -math.inf)
        for row, tokens in enumerate(ids.tolist()):
            reader = self._model.reader()
            for place, token in enumerate(tokens):
                reader.push(token)
                found[row, place] = torch.from_numpy(reader.log_probs())
        return found

"""Reading whatever Markov model a folder holds."""

from pathlib import Path

from workers.lm.errors import UnusableModel
from workers.lm.families.hmm import files as hmm_files
from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.markov import MarkovModel
from workers.lm.families.ngram import files as ngram_files
from workers.lm.families.ngram.model import NgramModel

#: The file that tells each family, and what reads it.
_FAMILIES: dict[str, type[MarkovModel]] = {
    ngram_files.DESCRIPTION: NgramModel,
    hmm_files.DESCRIPTION: HmmModel,
}


def load_markov(folder: Path) -> MarkovModel:
    """The model in the folder. Raises UnusableModel if there is none, or with what is wrong."""
    for name, family in _FAMILIES.items():
        if (folder / name).is_file():
            return family.load(folder)
    raise UnusableModel(f"The folder has neither {' nor '.join(_FAMILIES)}.")

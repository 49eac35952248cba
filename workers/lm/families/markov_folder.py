"""The folder of an n-gram or hidden Markov model: which family, how text is cut, the model."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from workers.lm.errors import InvalidTraining, UnusableModel
from workers.lm.families.hmm.model import HmmModel
from workers.lm.families.markov import MarkovModel
from workers.lm.families.ngram.model import NgramModel
from workers.lm.tokenizers.saved import load_tokenizer
from workers.lm.tokenizers.units import Units

MARK = "markov.json"
FORMAT = 1
#: Facts of a model that its files keep and lists of versions need not carry.
LONG_FACTS = {"training", "history", "restarts"}
_FAMILIES: dict[str, type[NgramModel] | type[HmmModel]] = {"ngram": NgramModel, "hmm": HmmModel}


@dataclass(frozen=True)
class LoadedMarkov:
    """A model with the tokenizer that it was made with."""

    family: str
    model: MarkovModel
    tokenizer: PreTrainedTokenizerFast
    units: Units


def is_markov(folder: Path) -> bool:
    """Whether the folder holds such a model."""
    return (folder / MARK).is_file()


def save_markov(folder: Path, family: str, units: Units, model: MarkovModel) -> None:
    """Write the model and what it is; the tokenizer is saved beside it by whoever has it."""
    model.save(folder)
    facts = {"format": FORMAT, "family": family, "units": asdict(units)}
    (folder / MARK).write_text(json.dumps(facts, indent=1, sort_keys=True))


def load_markov(folder: Path) -> LoadedMarkov:
    """Read a folder. Raises UnusableModel with the reason."""
    for path in folder.iterdir():
        if path.is_symlink():
            raise UnusableModel(f"{path.name} is a link; a model folder holds plain files only.")
    family, units, model = read_markov(folder)
    tokenizer = load_tokenizer(folder)
    if model.vocab_size != len(tokenizer):
        raise UnusableModel(
            f"The tokenizer knows {len(tokenizer)} units, the model {model.vocab_size}."
        )
    return LoadedMarkov(family, model, tokenizer, units)


def read_markov(folder: Path) -> tuple[str, Units, MarkovModel]:
    """Family, units and model of a folder, without its tokenizer. Raises UnusableModel."""
    try:
        facts = json.loads((folder / MARK).read_text())
        family, units = facts["family"], Units(**facts["units"])
        if facts["format"] != FORMAT or family not in _FAMILIES:
            raise UnusableModel(f"{MARK} was written in another format.")
        units.check()
    except (OSError, ValueError, KeyError, TypeError, InvalidTraining) as error:
        raise UnusableModel(f"{MARK} cannot be read: {error}") from error
    return family, units, _FAMILIES[family].load(folder)


def markov_facts(family: str, units: Units, model: MarkovModel) -> dict[str, Any]:
    """What a version of such a model says of itself, beside how it came about."""
    return {
        **{name: value for name, value in model.facts().items() if name not in LONG_FACTS},
        "parameters": parameters_of(model),
        "model_type": family,
        "vocab_size": model.vocab_size,
        "context": model.context_length,
        "tokenizer": units.unit,
        "lossless": units.lossless,
        "chat": False,
    }


def parameters_of(model: MarkovModel) -> int:
    """How many numbers make the model: its n-grams, or the probabilities of its states."""
    facts = model.facts()
    if "ngrams" in facts:
        return int(sum(facts["ngrams"]))
    states = int(facts["states"])
    return states * (1 + states + model.vocab_size)

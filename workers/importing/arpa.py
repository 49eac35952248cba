"""An ARPA file that came by itself becomes an n-gram model, whose units are its words."""

import shutil
from pathlib import Path
from typing import Any

from workers.lm.durable import file_digest
from workers.scanning.report import Report

SUFFIX = ".arpa"
RULE = "weights.arpa"


def arpa_in(folder: Path) -> Path | None:
    """The one ARPA file of a folder that has nothing else in it; None where there is more."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    if len(files) == 1 and files[0].name.lower().endswith(SUFFIX):
        return files[0]
    return None


def take_arpa(path: Path, folder: Path, report: Report) -> dict[str, Any]:
    """Put the model in the place of the file in `folder`: `facts` and `files` of what is there.

    What is wrong with the file goes into the report, with the line.
    """
    from workers.lm.errors import InvalidWork
    from workers.lm.families.markov_folder import markov_facts, save_markov
    from workers.lm.families.ngram.arpa_reader import read_arpa
    from workers.lm.tokenizers.saved import save_tokenizer
    from workers.lm.tokenizers.units import Units
    from workers.lm.tokenizers.word import known_words

    name = path.relative_to(folder).as_posix()
    report.kinds[name] = "weights"
    try:
        model, words = read_arpa(path)
        tokenizer = known_words(words, end=model.vocabulary.end, unknown=model.vocabulary.unknown)
    except InvalidWork as error:
        report.add(RULE, name, error.message)
        return {"facts": {}, "files": {}}
    shutil.rmtree(folder)
    folder.mkdir()
    units = Units(unit="word", vocab_size=max(3, len(words)), sentences="line")
    save_markov(folder, "ngram", units, model)
    save_tokenizer(tokenizer, folder)
    facts = markov_facts("ngram", units, model)
    files = {
        item.name: {"sha256": file_digest(item), "size": item.stat().st_size}
        for item in sorted(folder.iterdir())
    }
    return {"facts": facts, "files": files}

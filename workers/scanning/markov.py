"""An n-gram or hidden Markov model as a training here writes it: its arrays are read and checked.

There is no code in them, and nothing is computed with them. An n-gram model has one number that is
minus infinity, for what only ever stands before a sentence, so its own rules say what is finite.
"""

import json
from pathlib import Path
from typing import Any

from workers.scanning.model import check_tokenizer
from workers.scanning.report import Report

#: The file that makes a folder one of these.
MARK = "markov.json"
RULE = "model.markov"
#: Characters of JSON that the facts of a version may have.
MOST_FACTS = 1 << 16


def check_markov(folder: Path, report: Report) -> dict[str, Any]:
    """Facts of the model; empty where the report says that it cannot be used."""
    from workers.lm.errors import UnusableModel
    from workers.lm.families.markov_folder import markov_facts, read_markov

    size = check_tokenizer(folder, {}, report)
    if report.blocked:
        return {}
    try:
        family, units, model = read_markov(folder)
    except UnusableModel as error:
        report.add(RULE, MARK, str(error))
        return {}
    if size != model.vocab_size:
        said = f"The tokenizer has {size or 0:,} ids, the model {model.vocab_size:,}."
        report.add("model.vocabulary", "tokenizer.json", said)
        return {}
    facts = markov_facts(family, units, model)
    if len(json.dumps(facts)) > MOST_FACTS:
        report.add(RULE, f"{family}.json", "Its record is longer than any training writes.")
        return {}
    return facts

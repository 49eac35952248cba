"""The card of a version, in Markdown with a head of YAML, as clients of the Hub read it.

Every figure is generated from what is recorded; only the words under "Description" and the licence,
languages and tags are a person's (CardText). The same facts give the same text.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from models_app.registry.attacks import attack_newest
from models_app.registry.card_attacks import attack_result, attack_rows, attack_words
from models_app.registry.models import CardText, Evaluation, ModelVersion

#: Metrics of an evaluation that go into the head: name, and what it is called.
METRICS = {
    "perplexity": "Perplexity", "bits_per_byte": "Bits per byte",
    "nats_per_token": "Loss per token (nats)",
}  # fmt: skip
#: Only where questions were asked.
ANSWERS = {"accuracy": "Accuracy", "accuracy_normalised": "Accuracy by length"}
#: Key of the head by which a card that was made here is known again.
MARK = "slipway"
_BARS = 24
_HEAD = re.compile(r"---\r?\n(.*?)\r?\n---", re.DOTALL)
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def card_text(version: ModelVersion) -> str:
    """The whole card. Deterministic: equal facts and words give equal text."""
    words = card_words(version)
    head = yaml.safe_dump(
        _head(version, words), sort_keys=False, allow_unicode=True, default_flow_style=False
    )
    parts = [f"---\n{head}---", f"# {_plain(_name(version))} v{version.number}"]
    if words and words.body.strip():
        parts.append(f"## Description\n\n{words.body.strip()}")
    sections = (_what, _data, _procedure, _evaluation, _attacks, _environment, _limits)
    parts += [text for section in sections if (text := section(version))]
    return "\n\n".join(parts) + "\n"


def is_generated(text: str) -> bool:
    """Whether a card was made here, perhaps with tags that a client has added since."""
    found = _HEAD.match(text)
    try:
        head = yaml.safe_load(found[1]) if found else None
    except yaml.YAMLError:
        return False
    return isinstance(head, dict) and MARK in head


def card_words(version: ModelVersion) -> CardText | None:
    """What a person last wrote about the model."""
    return version.model.card_texts.order_by("-number").first()


def _name(version: ModelVersion) -> str:
    return f"{version.model.team.slug}/{version.model.name}"


def _head(version: ModelVersion, words: CardText | None) -> dict[str, Any]:
    head: dict[str, Any] = {}
    if words and words.license:
        head["license"] = words.license
    if words and words.languages:
        head["language"] = list(words.languages)
    head["library_name"] = "transformers"
    head["pipeline_tag"] = "text-generation"
    head["tags"] = sorted({"slipway", *(words.tags if words else [])})
    head[MARK] = {"version": version.number, "digest": version.digest}
    if version.base_version is not None:
        base = version.base_version
        head["base_model"] = f"{base.model.team.slug}/{base.model.name}"
        head["base_model_relation"] = "finetune"
    if version.dataset_version is not None:
        dataset = version.dataset_version.dataset
        head["datasets"] = [f"{dataset.team.slug}/{dataset.name}"]
    results = [_result(row) for row in _evaluations(version)]
    run = attack_newest(version)
    if run is not None:
        results.append(attack_result(run))
    if results:
        head["model-index"] = [{"name": f"{_name(version)} v{version.number}", "results": results}]
    return head


def _evaluations(version: ModelVersion) -> list[Evaluation]:
    rows = version.evaluations.select_related("dataset_version__dataset__team")
    return list(rows.order_by("dataset_version_id", "split", "id"))


def _result(row: Evaluation) -> dict[str, Any]:
    data = row.dataset_version
    return {
        "task": {"type": "text-generation"},
        "dataset": {
            "type": f"{data.dataset.team.slug}/{data.dataset.name}",
            "name": str(data),
            "split": row.split,
            "revision": data.digest[:40],
        },
        "metrics": [
            {"type": key, "name": name, "value": row.metrics[key]}
            for key, name in {**METRICS, **ANSWERS}.items()
            if key in row.metrics
        ],
    }


def _what(version: ModelVersion) -> str:
    facts = version.facts
    rows = [
        ("Architecture", facts.get("model_type")),
        ("Parameters", facts.get("parameters")),
        ("Layers", facts.get("layers")),
        ("Width", facts.get("width")),
        ("Heads", facts.get("heads")),
        ("Context (tokens)", facts.get("context")),
        ("Vocabulary", facts.get("vocab_size")),
        ("Tokenizer", facts.get("tokenizer")),
        ("Size of the files (bytes)", version.size_bytes or None),
        ("Digest of the files (SHA-256)", version.digest or None),
    ]
    if version.base_version is not None:
        rows.append(("Trained further from", str(version.base_version)))
    return _section("Model", _table(("", ""), rows))


def _data(version: ModelVersion) -> str:
    data = version.dataset_version
    if data is None:
        return ""
    counts = [
        (split, row.get("documents"), row.get("characters"), row.get("bytes"))
        for split, row in sorted(data.counts.items())
        if isinstance(row, dict)
    ]
    said = f"{_plain(str(data))}, digest `{data.digest}`, split by seed {data.seed}."
    table = _table(("Split", "Documents", "Characters", "Bytes"), counts)
    return _section("Training data", said, table)


def _procedure(version: ModelVersion) -> str:
    revision = version.config_revision
    if revision is None:
        return ""
    rows = [(name, value) for name, value in sorted(revision.spec.items()) if value is not None]
    said = f"Configuration {_plain(str(revision))}, digest `{revision.digest}`."
    adapter, begun = version.begun_with, version.continued_from
    if adapter is not None:
        said += f" It began with the adapter {_plain(str(adapter))}, digest `{adapter.digest}`."
    if begun:
        said += f" It began with the checkpoint of step {begun['step']} of job {begun['job']}."
    return _section("Training procedure", said, _table(("Setting", "Value"), rows))


def _evaluation(version: ModelVersion) -> str:
    names = ("train_loss", "validation_loss", "best_validation_loss", "best_step", "tokens_seen")
    figures = [(name, version.metrics[name]) for name in names if name in version.metrics]
    found = _evaluations(version)
    asked = {key: name for key, name in ANSWERS.items() if any(key in r.metrics for r in found)}
    shown = {**METRICS, **asked}
    rows = [
        (str(row.dataset_version), row.split, row.metrics.get("documents"),
         *(row.metrics.get(key) for key in shown))
        for row in found
    ]  # fmt: skip
    titles = ("Dataset", "Split", "Documents", *shown.values())
    return _section(
        "Evaluation", _table(("At the end of the training", ""), figures),
        _table(titles, rows), _chart(version),
    )  # fmt: skip


def _chart(version: ModelVersion) -> str:
    """Bits per byte as bars of text, for readers without pictures."""
    found = [
        (f"{row.dataset_version} ({row.split})", float(row.metrics["bits_per_byte"]))
        for row in _evaluations(version)
        if "bits_per_byte" in row.metrics
    ]
    most = max((value for _name, value in found), default=0.0)
    if most <= 0:
        return ""
    rows = [
        f"{name}  {'█' * max(1, round(_BARS * value / most))} {value:.4f}" for name, value in found
    ]
    return "\n".join(["Bits per byte (lower is better):", "", "```text", *rows, "```"])


def _attacks(version: ModelVersion) -> str:
    run = attack_newest(version)
    if run is None:
        return ""
    table = _table(("Category", "Answers", "Passed", "Score"), attack_rows(run))
    return _section("Attack suite", attack_words(run), table)


def _environment(version: ModelVersion) -> str:
    told = version.environment
    metrics = version.metrics
    accelerators = ", ".join(row.get("name", "") for row in told.get("accelerators", []))
    rows = [
        ("Code", version.code_version or None),
        ("Python", told.get("python")),
        ("torch", told.get("torch", {}).get("version")),
        ("System", told.get("system", {}).get("distribution")),
        ("Processor", told.get("processor", {}).get("model")),
        ("Threads", told.get("threads", {}).get("torch")),
        ("Accelerators", accelerators or None),
        ("Training time (s)", metrics.get("seconds")),
        ("Tokens per second", metrics.get("tokens_per_second")),
    ]
    table = _table(("", ""), rows)
    return _section("Environment and footprint", table) if table else ""


def _limits(version: ModelVersion) -> str:
    """What follows from the facts; the rest is for a person to say."""
    said = []
    if version.facts.get("context"):
        said.append(f"- It reads at most {version.facts['context']:,} tokens at once.")
    if not version.facts.get("chat"):
        said.append("- It was not trained on conversations: it continues text.")
    if not _evaluations(version):
        said.append("- It has not been evaluated on data that it was not trained on.")
    return _section("Limitations", "\n".join(said)) if said else ""


def _section(title: str, *parts: str) -> str:
    found = [part for part in parts if part]
    return "\n\n".join([f"## {title}", *found]) if found else ""


def _table(titles: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> str:
    """A Markdown table; rows whose last cell is unknown are left out."""
    names = list(titles)
    lines = [
        "| " + " | ".join(_cells(row)) + " |" for row in rows if any(v is not None for v in row[1:])
    ]
    if not lines:
        return ""
    head = "| " + " | ".join(names) + " |"
    return "\n".join([head, "|" + " --- |" * len(names), *lines])


def _cells(row: tuple[Any, ...]) -> Iterator[str]:
    for value in row:
        yield "–" if value is None else _plain(value)


def _plain(value: Any) -> str:
    """A value as text without meaning in Markdown; the head has figures to the last digit."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())
    return _SPECIAL.sub(r"\\\1", text)

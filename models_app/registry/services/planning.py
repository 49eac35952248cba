"""What a training would take, and whether it can work at all, before there is a job."""

import math
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.presets import Need, training_need
from models_app.configs.specs import Spec, TrainingSpec, spec_class
from models_app.core.actor import Actor
from models_app.core.errors import FieldError, InvalidInput
from models_app.core.permission import can_see, require
from models_app.core.states import state_word
from models_app.core.validation import parse
from models_app.datasets.models import DatasetVersion
from models_app.datasets.quality import training_refusal
from models_app.datasets.states import VersionState as DatasetState
from models_app.pools.selectors import node_list
from models_app.registry.families import is_markov, spec_kind
from models_app.registry.further import adapter_errors, beginning_of, further_check
from models_app.registry.models import ModelVersion
from models_app.registry.services.planning_markov import markov_errors, markov_need, markov_tokens
from models_app.registry.states import Family, VersionState
from models_app.registry.training_plans import TrainingPlan

GIB = 1 << 30


def training_plan(
    *,
    actor: Actor,
    team: Any,
    dataset_version: DatasetVersion,
    spec: Spec | Mapping[str, Any],
    base_version: ModelVersion | None = None,
    family: str = Family.TRANSFORMER,
    prefix: str = "config",
) -> TrainingPlan:
    """Check everything that can be known beforehand. Raises InvalidInput naming every bad field."""
    require(actor, "registry.add_version", team)
    _check_inputs(actor, team, dataset_version, base_version)
    checked = spec_of_family(family, spec, prefix)
    if is_markov(family):
        return _markov_plan(family, checked, dataset_version, base_version, prefix)
    assert isinstance(checked, TrainingSpec)
    return _transformer_plan(checked, dataset_version, base_version, prefix)


def spec_of_family(family: str, spec: Spec | Mapping[str, Any], prefix: str = "config") -> Spec:
    """The settings, checked as those of a training of this family."""
    wanted = spec_class(spec_kind(family))
    return spec if isinstance(spec, wanted) else parse(wanted, _plain(spec), prefix=prefix)


def _plain(spec: Spec | Mapping[str, Any]) -> dict[str, Any]:
    return spec.plain() if isinstance(spec, Spec) else dict(spec)


def _markov_plan(
    family: str, spec: Spec, data: DatasetVersion, base: ModelVersion | None, prefix: str
) -> TrainingPlan:
    if base is not None:
        said = _("A model of this family is always trained anew. Leave the base version empty.")
        raise FieldError("base_version", said)
    _check_held_out(data)
    errors = markov_errors(spec, data)
    if errors:
        raise InvalidInput({f"{prefix}.{name}": text for name, text in errors.items()})
    tokens, passes = markov_tokens(spec, data), getattr(spec, "iterations", 1)
    need, node = markov_need(family, spec, tokens), _largest_node()
    if node is not None and need.total > node:
        raise FieldError(f"{prefix}.vocab_size", _too_much(need, node, _("Use less data.")))
    return TrainingPlan(
        spec=spec, need=need, tokens_seen=tokens * passes, dataset_tokens=tokens,
        epochs=float(passes), node_bytes=node,
    )  # fmt: skip


def _transformer_plan(
    spec: TrainingSpec, dataset_version: DatasetVersion, base_version: ModelVersion | None,
    prefix: str,
) -> TrainingPlan:  # fmt: skip
    begun = beginning_of(base_version)
    errors = (
        _check_base(spec, begun.base)
        | _check_data(spec, dataset_version)
        | _check_answers(spec, dataset_version, begun.base)
    )
    if begun.adapter is not None:
        errors |= adapter_errors(spec, begun.adapter)
    if errors:
        raise InvalidInput({f"{prefix}.{name}": text for name, text in errors.items()})
    base_shape = begun.base.facts.get("architecture") if begun.base else None
    try:
        need = training_need(spec.plain(), base_shape)
    except FieldError as error:
        raise FieldError(f"{prefix}.{error.field}", error.errors[error.field][0]) from None
    if said := _too_many(spec):
        raise FieldError(f"{prefix}.processes", said)
    node = _largest_node()
    if node is not None and need.total > node:
        raise _too_large(need, node, prefix)
    tokens = _tokens(spec, dataset_version, begun.base)
    return TrainingPlan(
        spec=spec,
        need=need,
        tokens_seen=spec.tokens_seen,
        dataset_tokens=tokens,
        epochs=spec.tokens_seen / max(1, tokens),
        node_bytes=node,
    )


def _check_inputs(
    actor: Actor, team: Any, dataset_version: DatasetVersion, base_version: ModelVersion | None
) -> None:
    if not can_see(actor, dataset_version) or dataset_version.team_id != team.pk:
        raise FieldError("dataset_version", _("Choose a dataset version of the same team."))
    if dataset_version.state != DatasetState.READY:
        raise FieldError("dataset_version", _not_ready(dataset_version))
    refusal = training_refusal(dataset_version)
    if refusal:
        raise FieldError("dataset_version", refusal)
    if base_version is None:
        return
    if not can_see(actor, base_version) or base_version.team_id != team.pk:
        raise FieldError("base_version", _("Choose a model version of the same team."))
    if base_version.state != VersionState.READY:
        raise FieldError("base_version", _not_ready(base_version))
    further_check(base_version, "base_version")


def _not_ready(version: DatasetVersion | ModelVersion) -> str:
    words = {"version": version, "state": state_word(version, version.state)}
    return _("%(version)s is not ready: %(state)s.") % words


def _check_base(spec: TrainingSpec, base: ModelVersion | None) -> dict[str, str]:
    if base is None:
        if spec.tokenizer == "base":
            text = _("Its tokenizer can only be kept with a base version. Choose one.")
            return {"tokenizer": text}
        return {}
    if spec.tokenizer != "base":
        text = _("A training from a base version keeps its tokenizer: choose base.")
        return {"tokenizer": text}
    context = base.facts.get("context")
    if context and spec.sequence_length > context:
        text = _("%(version)s reads at most %(n)s tokens. Use at most as many.")
        return {"sequence_length": text % {"version": base, "n": f"{context:,}"}}
    return {}


def _check_data(spec: TrainingSpec, version: DatasetVersion) -> dict[str, str]:
    train = version.counts.get("train", {})
    errors: dict[str, str] = {}
    _check_held_out(version)
    characters, size = train.get("characters", 0), train.get("bytes", 0)
    if spec.loss_on == "all" and characters <= spec.sequence_length:
        errors["sequence_length"] = _(
            "The training split has %(characters)s characters, too few for sequences of "
            "%(tokens)s tokens. Shorten the sequence or choose more data."
        ) % {"characters": f"{characters:,}", "tokens": f"{spec.sequence_length:,}"}
    if spec.tokenizer == "bpe" and spec.vocab_size > 256 + size:
        errors["vocab_size"] = _(
            "%(tokens)s tokens cannot be learned from %(bytes)s bytes. Use fewer."
        ) % {"tokens": f"{spec.vocab_size:,}", "bytes": f"{size:,}"}
    return errors


def _check_answers(
    spec: TrainingSpec, version: DatasetVersion, base: ModelVersion | None
) -> dict[str, str]:
    """Where only answers are learned there must be some, and marks that tell them from questions.

    Versions of datasets that are older than the count are found wanting only by their training.
    """
    if spec.loss_on != "answers":
        return {}
    if base is not None and base.facts.get("tokenizer") == "char":
        text = _(
            "%(version)s reads characters, which have no marks of roles, so answers cannot be told"
            " from questions. Learn all tokens, or choose a base that can chat."
        )
        return {"loss_on": text % {"version": base}}
    train, held_out = (version.counts.get(name, {}) for name in ("train", "validation"))
    if train.get("answered", 1) and held_out.get("answered", 1):
        return {}
    if train.get("answered", 1):
        text = _(
            "No conversation with an answer of an assistant is held out of %(version)s. Import it"
            " again with a larger validation share, or learn all tokens."
        )
    else:
        text = _(
            "%(version)s has no answers of assistants to learn from. Learn all tokens, or choose"
            ' data whose rows are conversations: {"messages": [{"role": …, "content": …}]}.'
        )
    return {"loss_on": text % {"version": version}}


def _check_held_out(version: DatasetVersion) -> None:
    if not version.counts.get("validation", {}).get("characters"):
        text = _(
            "%(version)s holds out nothing for validation. Import it again with a validation share."
        )
        raise FieldError("dataset_version", text % {"version": version})


def _largest_node() -> int | None:
    """Memory of the largest ready node that takes trainings, in bytes."""
    sizes = [
        int(node.capacity.get("memory_mib", 0)) << 20
        for node in node_list()
        if node.ready  # type: ignore[attr-defined]
    ]
    return max(sizes, default=0) or None


def _too_many(spec: TrainingSpec) -> str:
    """Said of more processes than any node has processors for; empty while no node is known."""
    most = max((int(node.cpus) for node in node_list() if node.ready), default=0)  # type: ignore[attr-defined]
    here = spec.processes // spec.nodes
    asked = here * spec.threads
    if spec.processes == 1 or not most or asked <= most:
        return ""
    if spec.nodes > 1:
        return _too_many_each(spec, asked, most)
    text = _(
        "%(n)s processes with %(threads)s threads each need %(asked)s processors, the largest node "
        "has %(most)s. Use at most %(fitting)s."
    )
    return text % {
        "n": spec.processes, "threads": spec.threads, "asked": asked, "most": most,
        "fitting": max(1, most // spec.threads),
    }  # fmt: skip


def _too_many_each(spec: TrainingSpec, asked: int, most: int) -> str:
    text = _(
        "%(n)s processes with %(threads)s threads each on each of %(nodes)s nodes need %(asked)s "
        "processors there, the largest node has %(most)s. Use at most %(fitting)s processes, or "
        "more nodes."
    )
    return text % {
        "n": spec.processes // spec.nodes, "threads": spec.threads, "nodes": spec.nodes,
        "asked": asked, "most": most, "fitting": max(1, most // spec.threads) * spec.nodes,
    }  # fmt: skip


def _too_large(need: Need, node: int, prefix: str) -> FieldError:
    fixed = need.total - need.bytes.get("activations", 0)
    if fixed < node:
        remedy = _("Use a smaller batch, a shorter sequence or more gradient accumulation.")
        return FieldError(f"{prefix}.batch_size", _too_much(need, node, remedy))
    return FieldError(f"{prefix}.preset", _too_much(need, node, _("Choose a smaller model.")))


def _too_much(need: Need, node: int, remedy: str) -> str:
    said = _("This needs about %(need)s GiB of memory, the largest node has %(node)s. %(remedy)s")
    sizes = {"need": f"{need.total / GIB:.1f}", "node": f"{node / GIB:.1f}"}
    return said % {**sizes, "remedy": remedy}


def _tokens(spec: TrainingSpec, version: DatasetVersion, base: ModelVersion | None) -> int:
    """About how many tokens the training split has; pieces of words grow with the vocabulary."""
    characters = int(version.counts["train"]["characters"])
    if spec.tokenizer == "char" or (base and base.facts.get("tokenizer") == "char"):
        return characters
    vocabulary = int(base.facts.get("vocab_size", 4096)) if base else spec.vocab_size
    return max(1, round(characters / (1 + 0.7 * math.log(max(1.0, vocabulary / 256)))))

"""Warnings: settings that are allowed and yet probably not meant."""

from typing import Any

from django.utils.translation import gettext as _

from models_app.core.actor import SYSTEM
from models_app.jobs.kind import job_kinds
from models_app.pools.selectors import node_list, pool_list


def too_many_threads(threads: int) -> str:
    """Said of more threads than any node has processors; empty while no node is known."""
    most = max((int(node.capacity.get("cpus", 0)) for node in node_list()), default=0)
    if not most or threads <= most:
        return ""
    said = _("No node has more than %(most)s processors; %(threads)s threads slow each other down.")
    return said % {"most": most, "threads": threads}


def training_warnings(spec: Any) -> dict[str, str]:
    """Of a training."""
    found = {"threads": too_many_threads(spec.threads)}
    if spec.processes > 1:
        found["processes"] = too_many_threads(spec.processes // spec.nodes * spec.threads)
    if spec.checkpoint_every == 0:
        found["checkpoint_every"] = _("Without checkpoints a training that breaks begins anew.")
    elif spec.checkpoint_every > spec.steps:
        found["checkpoint_every"] = _("It ends before its first checkpoint.")
    if spec.evaluate_every > spec.steps:
        found["evaluate_every"] = _("It is looked at only at its end.")
    found |= _course_warnings(spec)
    if (
        spec.tokenizer == "base"
        and spec.vocab_size != type(spec).model_fields["vocab_size"].default
    ):
        found["vocab_size"] = _("The base's tokenizer decides; this is not used.")
    if not spec.lora_rank:
        fields = type(spec).model_fields
        for name in ("lora_alpha", "lora_dropout", "lora_targets"):
            if getattr(spec, name) != fields[name].default:
                found[name] = _("Without an adapter (rank 0) this is not used.")
    return {name: text for name, text in found.items() if text}


def _course_warnings(spec: Any) -> dict[str, str]:
    """Of early stopping and divergence."""
    found = {}
    if spec.patience and spec.publish == "last":
        found["publish"] = _("After early stopping the last weights are not the best ones.")
    if spec.patience and spec.patience * spec.evaluate_every >= spec.steps:
        found["patience"] = _("It ends before its patience can.")
    if spec.min_improvement and not spec.patience:
        found["min_improvement"] = _("Without patience this is not used.")
    if spec.spike_factor and spec.on_divergence == "stop":
        found["spike_factor"] = _("A single loss that leaps ends the training.")
    return found


def serving_warnings(spec: Any) -> dict[str, str]:
    """Of a way to serve."""
    found = {"threads": too_many_threads(spec.threads)}
    if spec.keep_warm_s == 0:
        found["keep_warm_s"] = _("A roll-back has to load the earlier version first.")
    found |= _rollout_warnings(spec)
    return {name: text for name, text in found.items() if text}


def _rollout_warnings(spec: Any) -> dict[str, str]:
    """Of the way into service."""
    found = {}
    watched = spec.strategy in ("canary", "linear", "shadow")
    if watched and not spec.bake_s and not spec.wait_for_promotion:
        found["bake_s"] = _("Nothing is watched: all requests follow at once.")
    if spec.judge and spec.strategy != "shadow":
        found["judge"] = _("Only a shadow roll-out makes copies, so there is nothing to judge.")
    if spec.min_win_percent and not spec.judge:
        found["min_win_percent"] = _("Without a judge nothing wins or loses.")
    if spec.strategy == "linear" and spec.step_percent == 100:
        found["step_percent"] = _("There is only one step, which gets all requests.")
    if spec.strategy == "all_at_once" and spec.capacity == "surge":
        found["capacity"] = _("The old replicas are stopped first all the same.")
    return found


def alert_warnings(spec: Any) -> dict[str, str]:
    """Of rules of alerts: what is narrowed to something that is not there is never measured."""
    pools = set(pool_list(actor=SYSTEM).values_list("name", flat=True))
    found = {}
    for place, rule in enumerate(spec.rules):
        if rule.pool is not None and rule.pool not in pools:
            found[f"rules.{place}.pool"] = _("There is no such pool, so this never fires.")
        if rule.kind is not None and rule.kind not in job_kinds:
            found[f"rules.{place}.kind"] = _("There is no such kind of job, so this never fires.")
    return found

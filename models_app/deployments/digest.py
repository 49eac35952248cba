"""The identity of what a deployment runs: what people approve, and what is checked to run it."""

from collections.abc import Mapping
from typing import Any

from models_app.core.digests import digest_json, tree_digest
from models_app.deployments.adapters import adapters_of
from models_app.deployments.drafts import draft_of
from models_app.deployments.models import Revision
from models_app.registry.adapters import adapter_base
from models_app.registry.models import ModelVersion

#: How many characters of the digest model servers report and pages show.
SHORT = 12


def revision_digest(revision: Revision, adapters: Mapping[str, ModelVersion] | None = None) -> str:
    """Computed from the rows as they are now, not from the digests that they claim to have.

    It binds the files of the version, of the base of an adapter, of the adapters beside it and of
    the draft that guesses for it, the settings with the overlay applied, the deployment, its
    environment and the number of replicas: if any of them changes, no approval fits any more.
    `adapters` stands for those of the rows.
    """
    version, config = revision.model_version, revision.config_revision
    base = adapter_base(version)
    below = {} if base is None else {"base": [base.pk, base.digest, tree_digest(base.manifest)]}
    served = adapters_of(revision) if adapters is None else adapters
    beside = [
        [name, row.pk, row.digest, tree_digest(row.manifest)]
        for name, row in sorted(served.items())
    ]
    return digest_json(
        {
            "version": [version.pk, version.digest, tree_digest(version.manifest)],
            **below,
            **({"adapters": beside} if beside else {}),
            **_draft(revision),
            "config": [config.config.kind, revision.spec_in_effect],
            "deployment": revision.deployment_id,
            "environment": revision.deployment.environment_id,
            "replicas": revision.replicas,
        }
    )


def _draft(revision: Revision) -> dict[str, Any]:
    draft = draft_of(revision)
    return {} if draft is None else {"draft": [draft.pk, draft.digest, tree_digest(draft.manifest)]}


def differs_in_adapters(one: Revision, other: Revision) -> bool:
    """Whether two revisions of a deployment are the same but for their adapters."""
    return one.pk != other.pk and revision_digest(one, {}) == revision_digest(other, {})


def differs_in_replicas(one: Revision, other: Revision) -> bool:
    """Whether two revisions of a deployment are the same but for how many replicas they have."""
    if one.pk == other.pk or one.model_version_id != other.model_version_id:
        return False
    beside = [{name: row.pk for name, row in adapters_of(r).items()} for r in (one, other)]
    return beside[0] == beside[1] and same_but_replicas(one.serving.plain(), other.serving.plain())


def same_but_replicas(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """The same for settings alone."""
    return {**one, "replicas": 0} == {**other, "replicas": 0}


def fingerprint(revision: Revision) -> str:
    """The short form of the digest."""
    return revision.digest[:SHORT]

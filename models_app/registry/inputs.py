"""Versions and settings as inputs of jobs, with digests computed of the rows as they are now."""

from models_app.configs.models import ConfigRevision
from models_app.configs.services.revisions import spec_digest
from models_app.core.digests import tree_digest
from models_app.datasets.models import DatasetVersion
from models_app.datasets.states import VersionState as DatasetState
from models_app.jobs.kind import Input
from models_app.registry.models import ModelVersion
from models_app.registry.states import VersionState

#: What jobs store stays English, as others read it too.
WORDS = {
    VersionState.QUARANTINED: "it was quarantined",
    VersionState.FAILED: "it failed",
    VersionState.PENDING: "it is not ready",
}


def data_input(version: DatasetVersion) -> Input:
    """A dataset version: its digest is that of its files."""
    problem = "" if version.state == DatasetState.READY else _why(version.state)
    return Input(
        role="dataset version", name=str(version), digest=tree_digest(version.manifest),
        problem=problem,
    )  # fmt: skip


def version_input(version: ModelVersion, role: str = "model version") -> Input:
    """A model version: its digest is that of its files."""
    problem = "" if version.state == VersionState.READY else _why(version.state)
    return Input(
        role=role, name=str(version), digest=tree_digest(version.manifest), problem=problem
    )


def config_input(revision: ConfigRevision) -> Input:
    """The revision of a configuration: its digest is that of its settings."""
    digest = spec_digest(revision.config.kind, revision.spec)
    return Input(role="configuration", name=str(revision), digest=digest)


def _why(state: str) -> str:
    return WORDS.get(state, f"its state is {state}")  # type: ignore[call-overload, no-any-return]

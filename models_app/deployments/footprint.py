"""Where the replicas of a revision run, and what each of them takes of its node.

In the default pool they ask for a slot only and share processors and memory with everything else: a
machine of two cores must be able to serve, train and roll out at once. In a pool that is named they
ask for what they use, so that what runs there is kept apart from what does not belong there.
"""

from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.specs import ServingSpec
from models_app.core.errors import FieldError, InvalidInput
from models_app.deployments.comparison import replica_bytes
from models_app.jobs.resources import resources_fields, resources_parse
from models_app.pools.services.pools import pool_for
from models_app.registry.models import ModelVersion

MIB = 1 << 20
#: The request is a limit as well, and what an engine takes is known only roughly.
MARGIN, MARGIN_MIB = 1.5, 512
#: Fields of a request -> settings that decide them.
DECIDED_BY = {
    "pool": "pool",
    "resources.cpus": "threads",
    "resources.memory_mib": "pool",
    "resources.gpus": "pool",
}


def replica_resources(version: ModelVersion, spec: dict[str, Any]) -> dict[str, Any]:
    """What one replica asks of a node of the pool that is named; nothing where none is."""
    if not spec.get("pool"):
        return {}
    memory = replica_bytes(version, spec) * MARGIN / MIB + MARGIN_MIB
    return {
        "cpus": float(spec.get("threads", 1) * spec.get("tensor_parallel", 1)),
        "memory_mib": int(memory),
    }


def check_pool(team: Any, version: ModelVersion, spec: ServingSpec) -> None:
    """InvalidInput under `spec` where the team may not use the pool, or no node of it is so large.

    A pool without nodes is allowed: it may get some.
    """
    if not spec.pool:
        return
    asked = resources_parse(replica_resources(version, spec.plain()))
    try:
        pool = pool_for(team=team, name=spec.pool)
        resources_fields(asked=asked, pool=pool, wanted_gpus=0)
    except InvalidInput as error:
        raise InvalidInput(
            {f"spec.{DECIDED_BY.get(name, 'pool')}": text for name, text in error.errors.items()}
        ) from None


def why_no_place(error: InvalidInput | FieldError) -> str:
    """What is said of a roll-out whose replicas its pool can no longer take."""
    said = [
        text
        for texts in error.errors.values()
        for text in ([texts] if isinstance(texts, str) else texts)
    ]
    return _("Its pool takes no replica: %(why)s") % {"why": " ".join(said)}

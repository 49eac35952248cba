"""Where the replicas of a revision run, and what each of them takes of its node.

In the default pool they ask for a slot only and share processors and memory with everything else: a
machine of two cores must be able to serve, train and roll out at once. In a pool that is named they
ask for what they use, so that what runs there is kept apart from what does not belong there.
"""

from typing import Any

from models_app.configs.specs import ServingSpec
from models_app.core.errors import InvalidInput
from models_app.deployments.splitting import split_resources
from models_app.jobs.resources import resources_fields, resources_parse
from models_app.pools.services.pools import pool_for
from models_app.registry.adapters import adapter_base
from models_app.registry.models import ModelVersion

MIB = 1 << 20
#: Python, torch and the server itself, measured with the smallest model.
PROCESS_BYTES = 420 * MIB
#: The request is a limit as well, and what an engine takes is known only roughly.
MARGIN, MARGIN_MIB = 1.5, 512
#: Fields of a request -> settings that decide them.
DECIDED_BY = {
    "pool": "pool",
    "resources.cpus": "threads",
    "resources.memory_mib": "pool",
    "resources.gpus": "pool",
}


def replica_bytes(version: ModelVersion, spec: dict[str, Any]) -> int:
    """About how much memory one replica needs: weights, cache of keys and values, process.

    Files are stored in 32 bit; bf16 halves what is loaded. An estimate, said to be one.
    """
    width = 2 if spec.get("dtype") == "bf16" else 4
    whole = adapter_base(version) or version  # an adapter is merged into its base
    weights = whole.size_bytes * width // 4
    facts = whole.facts or {}
    layers, hidden = _number(facts, "layers"), _key_width(facts)
    context = spec.get("max_context") or _number(facts, "context")
    cache = 2 * layers * hidden * context * int(spec.get("max_slots") or 1) * width
    return PROCESS_BYTES + weights + cache


def _key_width(facts: dict[str, Any]) -> int:
    """Numbers that one token keeps per layer for its keys: fewer where heads share them."""
    width, heads = _number(facts, "width"), _number(facts, "heads")
    shape = facts.get("architecture") or {}
    kept = _number(shape, "num_key_value_heads") or heads
    each = _number(shape, "head_dim") or (width // heads if heads else 0)
    return kept * each or width


def _number(facts: dict[str, Any], name: str) -> int:
    value = facts.get(name)
    return int(value) if isinstance(value, int | float) else 0


def replica_resources(version: ModelVersion, spec: dict[str, Any]) -> dict[str, Any]:
    """What one replica asks of a node of the pool that is named; nothing where none is."""
    if not spec.get("pool"):
        return {}
    memory = replica_bytes(version, spec) * MARGIN / MIB + MARGIN_MIB
    return {
        "cpus": float(spec.get("threads", 1) * spec.get("tensor_parallel", 1)),
        "memory_mib": int(memory),
    }


def asked_of(spec: ServingSpec, version: ModelVersion | None = None) -> dict[str, Any]:
    """What the job of a replica asks for, as `job_submit` takes it; memory once it is known of
    what version. One of several processes asks for the processors of all of them in any pool.
    """
    asked = split_resources(spec)
    if spec.pool and version is not None:
        asked |= replica_resources(version, spec.plain())
    return {"pool": spec.pool, **({"resources": asked} if asked else {})}


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

"""Settings of installations with nodes on other machines; see docs/howto/add-a-node.md."""

import hashlib
import hmac

from console.settings import env

CLUSTER_HOST = env.read_str(
    "SLIPWAY_CLUSTER_HOST", "", "Address of this machine under which joined nodes reach its servers"
)
NODE_SECRET = env.read_str(
    "SLIPWAY_NODE_SECRET", "", "What a joined node proves its name with", secret=True
)
STORE_URL = env.read_str(
    "SLIPWAY_STORE_URL", "", "Console that keeps the files of a node without its disk"
).rstrip("/")
CACHE_MIB = env.read_int(
    "SLIPWAY_CACHE_MIB", 51_200, "Most space for copies of files that lie elsewhere", least=1
)


def replica_key(secret_key: str) -> str:
    """What secrets of model servers are derived from: a joined node knows this, not SECRET_KEY."""
    derived = hmac.new(secret_key.encode(), b"replica", hashlib.sha256).hexdigest()
    given = env.read_str(
        "SLIPWAY_REPLICA_KEY",
        "",
        "Derives the secrets of model servers; made of SECRET_KEY by default",
        secret=True,
    )
    return given or derived

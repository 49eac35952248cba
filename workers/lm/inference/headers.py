"""Headers between the model server and the gateway that asks it.

The gateway's side has its own list, `models_app.deployments.replica_headers`, for nothing of this
package knows the console; `tests/architecture/test_headers.py` holds the two together.
"""

#: What is said of a request: whose it is, how urgent, how long it may take (whole milliseconds),
#: the adapter that answers, and "1" to have each event say which tokens it stands for.
TENANT = "x-slipway-tenant"
PRIORITY = "x-slipway-priority"
DEADLINE_MS = "x-slipway-deadline-ms"
ADAPTER = "x-slipway-adapter"
TOKENS = "x-slipway-tokens"

#: What is answered: milliseconds until its turn, from there to its first token, and tokens of the
#: prompt that were not computed again.
QUEUE_MS = "x-slipway-queue-ms"
PREFILL_MS = "x-slipway-prefill-ms"
CACHED_TOKENS = "x-slipway-cached-tokens"

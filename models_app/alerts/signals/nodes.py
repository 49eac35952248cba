"""Signals about the nodes of each pool, for the teams that may use it."""

from models_app.alerts.signals import Answers, Question, ask
from models_app.pools.selectors import SILENT_AFTER

#: A pool without teams is everybody's.
MEMBERS = """
SELECT member.team_id, pool.name, {value}
  FROM pools_pool pool
  JOIN pools_node node ON node.labels @> pool.selector AND node.state <> 'removed'
  LEFT JOIN pools_pool_teams member ON member.pool_id = pool.id
 WHERE (%(pool)s = '' OR pool.name = %(pool)s)
 GROUP BY 1, 2
"""
SILENT = (
    "node.last_seen_at <= clock_timestamp() - "
    f"make_interval(secs => {SILENT_AFTER.total_seconds()})"
)


def nodes_unreachable(question: Question) -> Answers:
    """Nodes that are unreachable or have given no sign of life, by pool."""
    lost = f"count(*) FILTER (WHERE node.state = 'unreachable' OR {SILENT})"
    return ask(MEMBERS.format(value=lost), question)


def node_disk_free_percent(question: Question) -> Answers:
    """Free share of the disk of the living node that has the least, by pool."""
    free = (
        "min(100.0 * (node.health->>'disk_free_mib')::float"
        " / nullif((node.health->>'disk_total_mib')::float, 0))"
        f" FILTER (WHERE NOT ({SILENT}))"
    )
    return ask(MEMBERS.format(value=free), question)

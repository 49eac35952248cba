"""What an installation says after a run, gathered once, as plain data that can be doctored."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.load import Load
from tests.chaos.site import ChaosSite
from tests.chaos.truth import Row
from tests.chaos.watch import Watch

JOBS = """SELECT id, kind, state, epoch, reason_code, reason, log_seq, result, step, lease_until
            FROM jobs_job WHERE id = ANY(%s) ORDER BY id"""
ATTEMPTS = """SELECT job_id, epoch, node_name, started_at, ended_at, reason_code, exit_signal
                FROM jobs_jobattempt WHERE job_id = ANY(%s) ORDER BY job_id, epoch"""
CHUNKS = """SELECT job_id, first_seq, last_seq FROM jobs_logchunk
             WHERE job_id = ANY(%s) ORDER BY job_id, first_seq"""
METRICS = """SELECT job_id, step, value FROM jobs_metricpoint
              WHERE job_id = ANY(%s) AND name = %s ORDER BY job_id, step"""
CHECKPOINTS = "SELECT job_id, epoch, step, path, digest FROM jobs_checkpoint WHERE job_id = ANY(%s)"
ENDINGS = """SELECT object_id::bigint AS job_id, action FROM audit_auditevent
              WHERE object_type LIKE '%%job' AND object_id = ANY(%s)
                AND action IN ('job.succeeded', 'job.failed', 'job.canceled', 'job.timed_out')"""
VERSIONS = """SELECT id, number, state, manifest, produced_by_id FROM registry_modelversion
               ORDER BY id"""


@dataclass
class Facts:
    """Rows by job id, and what was seen from outside."""

    jobs: dict[int, Row] = field(default_factory=dict)
    attempts: dict[int, list[Row]] = field(default_factory=dict)
    chunks: dict[int, list[Row]] = field(default_factory=dict)
    values: dict[int, list[Row]] = field(default_factory=dict)
    losses: dict[int, list[Row]] = field(default_factory=dict)
    checkpoints: dict[int, list[Row]] = field(default_factory=dict)
    endings: dict[int, list[Row]] = field(default_factory=dict)
    #: [seq, at, epoch, stream, level, text]
    lines: dict[int, list[list[Any]]] = field(default_factory=dict)
    versions: list[Row] = field(default_factory=list)
    #: two attempts of one job that ran at once, told by locks and by looking
    overlaps: list[str] = field(default_factory=list)
    #: (job, epoch) -> processes that ran it
    runs: dict[tuple[int, int], set[int]] = field(default_factory=dict)


def gather(site: ChaosSite, load: Load, watch: Watch) -> Facts:
    """Read everything about the jobs of a load."""
    ids, truth = load.accepted(), site.truth
    facts = Facts(runs=watch.runs, overlaps=[*watch.overlaps, *locked_out(site.stack.data_dir)])
    facts.jobs = {int(row["id"]): row for row in truth.rows(JOBS, ids)}
    facts.attempts = _by_job(truth.rows(ATTEMPTS, ids))
    facts.chunks = _by_job(truth.rows(CHUNKS, ids))
    facts.values = _by_job(truth.rows(METRICS, ids, "value"))
    facts.losses = _by_job(truth.rows(METRICS, ids, "loss"))
    facts.checkpoints = _by_job(truth.rows(CHECKPOINTS, ids))
    facts.endings = _by_job(truth.rows(ENDINGS, [str(pk) for pk in ids]))
    facts.versions = truth.rows(VERSIONS)
    facts.lines = {pk: site.lines(pk) for pk in facts.jobs}
    return facts


def locked_out(data_dir: Path) -> list[str]:
    """Attempts that found another one of their job at work, as the self-test itself noticed."""
    found = (data_dir / "checkpoints").glob("job-*/overlap-*")
    return [f"{path.parent.name}: {path.name}" for path in sorted(found)]


def _by_job(rows: list[Row]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in rows:
        found.setdefault(int(row["job_id"]), []).append(row)
    return found

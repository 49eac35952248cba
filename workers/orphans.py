"""Ends what an earlier worker of this node left alive: nothing of a job outlives its attempt.

Only what carries this node's signature is ended: a signed record names the first process (with its
start time and boot), its session and its groups; a signed mark in the environment names stragglers.
"""

import logging
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGSTOP

from workers.isolation import records
from workers.isolation.cage import scratch_root
from workers.isolation.cgroup import groups, read_text, remove_group
from workers.isolation.probe import bases, prefix
from workers.isolation.processes import (
    Process,
    boot_id,
    descendants,
    pid_namespace,
    signal_all,
    table,
    variable,
)
from workers.isolation.records import BadRecord, Record

logger = logging.getLogger(__name__)

END_WITHIN_S = 10.0


@dataclass
class Report:
    """What was found at the start of a node."""

    #: Processes that were ended, by job and epoch.
    ended: dict[str, list[int]] = field(default_factory=dict)
    #: Records that this node has not signed: nothing was done on their word.
    rejected: list[str] = field(default_factory=list)
    #: Attempts of which something could not be ended.
    left: list[str] = field(default_factory=list)


def end_orphans(node: str) -> Report:
    """End every process of this node's earlier attempts, and remove their groups and scratch.

    Attempts that this process supervises itself are passed by.
    """
    report = Report()
    for path in sorted(records.folder(node).glob("*.json")):
        try:
            record = records.read(path, node)
        except BadRecord as error:
            path.replace(path.with_suffix(".rejected"))
            report.rejected.append(str(path))
            logger.error("a record of processes was rejected, nothing was ended: %s", error)
            continue
        if (record.job, record.epoch) not in records.LIVE:
            _end(record, report)
    _end_marked(node, report)
    _remove_empty(node)
    for name, pids in report.ended.items():
        logger.warning("ended %s processes that attempt %s had left behind", len(pids), name)
    return report


def _end(record: Record, report: Report) -> None:
    name = f"{record.job}.{record.epoch}"
    here = record.boot == boot_id() and record.namespace == pid_namespace()
    ended: set[int] = set()
    deadline = time.monotonic() + END_WITHIN_S
    while here and (alive := _members(record)):
        ended |= alive
        if time.monotonic() > deadline:
            report.left.append(name)
            break
        # Stopped first, so that none can start another meanwhile.
        signal_all(alive, SIGSTOP)
        signal_all(alive | _members(record), SIGKILL)
        time.sleep(0.01)
    if ended:
        report.ended[name] = sorted(ended)
    if name not in report.left:
        for group in record.cgroups:
            remove_group(Path(group))
        shutil.rmtree(record.scratch, ignore_errors=True)
        records.forget(record.node, record.job, record.epoch)


def _members(record: Record) -> set[int]:
    """Living processes of a recorded attempt, by group, session, descent and mark."""
    rows = table.rows()
    roots = {
        int(word)
        for folder in record.cgroups
        for group in groups(Path(folder))
        for word in read_text(group / "cgroup.procs").split()
    }
    leader = rows.get(record.pid)
    if leader is not None and leader.started == record.started:
        roots |= {row.pid for row in rows.values() if row.session == record.pid}
    mark = records.marker(record.node, record.job, record.epoch)
    roots |= {row.pid for row in _since(rows.values(), record.started) if _mark(row) == mark}
    return {pid for pid in descendants(rows, roots) if rows[pid].alive}


def _end_marked(node: str, report: Report) -> None:
    """Stragglers whose record is gone: their own environment carries the signature."""
    deadline = time.monotonic() + END_WITHIN_S
    while (found := _marked(node)) and time.monotonic() < deadline:
        signal_all(found, SIGSTOP)
        signal_all(found, SIGKILL)
        for pid, (job, epoch) in found.items():
            pids = report.ended.setdefault(f"{job}.{epoch}", [])
            if pid not in pids:
                pids.append(pid)
        time.sleep(0.01)


def _marked(node: str) -> dict[int, tuple[int, int]]:
    """Living processes that carry a mark of this node, and whose attempt is not supervised."""
    found = {}
    for row in table.rows().values():
        attempt = records.marked(node, mark) if row.alive and (mark := _mark(row)) else None
        if attempt and attempt not in records.LIVE:
            found[row.pid] = attempt
    return found


def _remove_empty(node: str) -> None:
    """Groups and scratch folders that no living attempt uses. A group with processes stays."""
    live = {f"j{job}-a{epoch}" for job, epoch in records.LIVE}
    for base in set(bases()[1].values()):
        for group in base.glob(f"{prefix(node)}*"):
            if group.name.removeprefix(prefix(node)) not in live:
                remove_group(group)
    for folder in scratch_root(node).glob("j*.a*"):
        if folder.name.replace(".", "-") not in live:
            shutil.rmtree(folder, ignore_errors=True)


def _since(rows: Iterable[Process], started: int) -> list[Process]:
    return [row for row in rows if row.started >= started and row.alive]


def _mark(row: Process) -> str:
    return variable(row.pid, records.VARIABLE)

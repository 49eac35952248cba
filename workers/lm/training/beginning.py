"""Where a training begins: at the newest whole checkpoint that all its processes have."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from workers.lm.errors import CorruptCheckpoint
from workers.lm.events import Events
from workers.lm.training.checkpoints import (
    Checkpoint,
    checkpoint_names,
    newest_valid_checkpoint,
    sweep_unfinished,
    verify_checkpoint,
)
from workers.lm.training.parallel import Alone

#: Path and digest of a checkpoint of another run.
Start = Mapping[str, str]


def checkpoint_to_begin_with(
    resume_from: Path | None,
    start: Start | None,
    checkpoints: Path,
    attempt: int,
    events: Events,
    parallel: Alone,
) -> Checkpoint | None:
    """What `train` says of these; the path is one on the disk of the process that asks."""
    if parallel.is_main:
        sweep_unfinished(checkpoints, attempt)
    if parallel.nodes > 1:
        return _of_all(resume_from, start, events, parallel)
    found = None
    if parallel.is_main:
        found = _find(resume_from, events) or _of(start)
    parallel.after_main()
    agreed: Checkpoint | None = parallel.of_main(found)
    return agreed


def _find(resume_from: Path | None, events: Events) -> Checkpoint | None:
    if resume_from is None:
        return None
    if resume_from.name.startswith("step-"):
        return verify_checkpoint(resume_from)
    return newest_valid_checkpoint(
        resume_from,
        lambda torn, why: events.log(f"Passing over checkpoint {torn.name}: {why}", "warning"),
    )


def _of(start: Start | None) -> Checkpoint | None:
    return verify_checkpoint(Path(start["path"]), start["digest"]) if start else None


def _of_all(
    folder: Path | None, start: Start | None, events: Events, parallel: Alone
) -> Checkpoint | None:
    """Each machine looks at its own disk: the newest that is whole and the same on all of them.

    A machine may have one that others could not fetch, as its last moments were not told of.
    """
    names = checkpoint_names(folder) if folder is not None else []
    held = parallel.everyones(names if parallel.is_first_here else None)
    common = [name for name in names if all(others is None or name in others for others in held)]
    for name in parallel.of_main(common):
        assert folder is not None
        found = _agreed(folder / name, None, events, parallel)
        if found is not None:
            return found
    return _agreed(Path(start["path"]), start["digest"], events, parallel) if start else None


def _agreed(path: Path, digest: str | None, events: Events, parallel: Alone) -> Checkpoint | None:
    """This checkpoint, if the first process of each machine finds it whole, and all the same."""
    mine = None
    if parallel.is_first_here:
        try:
            mine = verify_checkpoint(path, digest)
        except CorruptCheckpoint as error:
            events.log(f"Passing over checkpoint {path.name}: {error}", "warning")
    parallel.after_firsts()
    told = parallel.everyones((parallel.is_first_here, mine.digest if mine else ""))
    digests = {found for is_first, found in told if is_first}
    agreed: Checkpoint | None = parallel.of_main(mine if len(digests) == 1 else None)
    return replace(agreed, path=path) if agreed else None

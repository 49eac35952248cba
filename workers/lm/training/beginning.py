"""Where a training over several nodes begins: at the newest checkpoint that all of them have."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from workers.lm.errors import CorruptCheckpoint
from workers.lm.events import Events
from workers.lm.training.checkpoints import Checkpoint, checkpoint_names, verify_checkpoint
from workers.lm.training.parallel import Alone

#: Path and digest of a checkpoint of another run.
Start = Mapping[str, str]


def checkpoint_of_all(
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
    if start is None or "path" not in start:
        return None
    return _agreed(Path(start["path"]), start["digest"], events, parallel)


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

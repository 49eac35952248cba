"""A training in several processes, of one machine or more: the same call as for one, in each."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from workers.lm.events import Events
from workers.lm.training.distributed.joining import join
from workers.lm.training.distributed.launch import Ranks, started
from workers.lm.training.distributed.places import Place
from workers.lm.training.result import TrainResult
from workers.lm.training.run import train
from workers.lm.training.spec import TrainSpec


def train_together(
    spec: TrainSpec, *inputs: Any, events: Events, settled: Callable[[Events], None] | None = None,
    meeting: Mapping[str, Any] | None = None, **options: Any,
) -> Ranks:  # fmt: skip
    """Start `spec.processes` processes that call `train` together; `Ranks.result` is what it gave.

    What `train` takes goes there as it is. `settled` is called in each process before its work,
    with its own events. With `meeting` those of this node are started, which meet those of others;
    the result is known on the first node only.
    """
    spec.check(has_base=options.get("base_dir") is not None)
    work = partial(_work, spec, inputs, options, settled)
    return started(spec.processes, work, events, meeting)


def _work(
    spec: TrainSpec,
    inputs: Any,
    options: dict[str, Any],
    settled: Callable[[Events], None] | None,
    place: Place,
    events: Events,
) -> TrainResult:
    if settled is not None:
        settled(events)
    group = join(place, spec.parallel)
    one_of_all: Callable[..., TrainResult] = train
    result = one_of_all(spec, *inputs, events, parallel=group, **options)
    group.leave()
    return result

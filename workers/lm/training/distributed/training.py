"""A training in several processes of this machine: the same call as for one, made in each."""

from collections.abc import Callable
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
    **options: Any,
) -> Ranks:  # fmt: skip
    """Start `spec.processes` processes that call `train` together; `Ranks.result` is what it gave.

    What `train` takes goes there as it is. `settled` is called in each process before its work,
    with its own events.
    """
    spec.check(has_base=options.get("base_dir") is not None)
    return started(spec.processes, partial(_work, spec, inputs, options, settled), events)


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

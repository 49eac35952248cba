"""What a training tells of itself beside its losses: speed, use of the device, health, samples."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from workers.lm.compute.flops import training_flops
from workers.lm.compute.speed import peak_flops
from workers.lm.events import Events
from workers.lm.training.parallel import Alone
from workers.lm.training.report import Report
from workers.lm.training.samples import Samples
from workers.lm.training.spec import TrainSpec


class Observing:
    """Figures for the page of a training. Nothing here changes what comes out of it.

    MFU, the model FLOPs utilisation (Chowdhery et al. 2022, arXiv:2204.02311, appendix B), is the
    share of a peak that the model's own operations reach: FLOPs of a step by `compute.flops` over
    seconds of a step, without validation and checkpoints, over the peak of all processes. The
    peak is the highest rate of matrix products that was *measured* on this node at any width: of
    the processor by as many threads as each process has, or of the GPU, in the precision of the
    training. It is not the figure of a data sheet. Where the node was not measured there is none.
    """

    def __init__(
        self,
        spec: TrainSpec,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerFast,
        parallel: Alone,
        events: Events,
        report: Report,
        speed: Mapping[str, Any] | None,
        precision: str,
    ) -> None:
        self._parallel, self._report = parallel, report
        self._samples = Samples(spec, model, tokenizer, parallel, events, precision)
        self._flops = training_flops(
            model.config.to_dict(), spec.batch_size, spec.sequence_length,
            adapter=bool(spec.lora_rank),
        )  # fmt: skip
        on_gpu = parallel.device().type == "cuda"
        peak = peak_flops(speed or {}, spec.threads, precision, on_gpu)
        self._peak = peak and peak * parallel.world
        self._waited = 0.0

    def figures(self, seconds: float) -> dict[str, float]:
        """Of steps that took so many seconds each."""
        found = {"step_seconds": seconds}
        if self._peak:
            found["mfu_percent"] = 100.0 * self._flops / seconds / self._peak
        return found

    def health(self, steps: int, seconds: float, memory: float) -> None:
        """What each process of several says of itself, after `steps` steps of `seconds` each."""
        if self._parallel.world == 1:
            return
        name, step = f"rank_{self._parallel.rank}", self._report.step
        values = {f"{name}_step_seconds": seconds, f"{name}_memory_bytes": memory}
        if self._parallel.waited_s is not None:
            waited = (self._parallel.waited_s - self._waited) / max(steps, 1)
            self._waited = self._parallel.waited_s
            values[f"{name}_wait_seconds"] = min(waited, seconds)
        self._report.metric(values)
        self._report.log(
            f"step {step:,}  {seconds:.4g} s a step  {memory / 2**20:,.0f} MiB", "debug"
        )

    def evaluated(self) -> None:
        """The model was just validated: what does it write?"""
        self._samples.write(self._report.step)

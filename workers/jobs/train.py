"""Trains a new model version, and offers the model shapes that forms show."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.models import ConfigRevision
from models_app.configs.presets import Need, Preset, Serving, StepCost, register
from models_app.core.blobs import tree_put
from models_app.core.errors import FieldError
from models_app.jobs.kind import Input, JobContext, JobKind, Params, job_kinds
from models_app.jobs.states import TERMINAL
from models_app.pools.selectors import node_speed
from models_app.registry.inputs import config_input, data_input, version_input
from models_app.registry.models import ModelVersion
from models_app.registry.recording import record_files
from models_app.registry.services.training import version_complete, version_fail
from models_app.registry.states import VersionState
from workers.lm.compute.flops import Work, step_work
from workers.lm.compute.memory import (
    PROCESS_OVERHEAD,
    MemoryEstimate,
    cache_bytes,
    count_adapter,
    count_parameters,
    estimate,
    read_shape,
)
from workers.lm.compute.speed import bf16_gain, rates_of
from workers.lm.compute.steptime import looking_time, step_time
from workers.lm.errors import InvalidWork
from workers.lm.families.presets import PRESETS
from workers.lm.training.distributed.plans import check_cut
from workers.lm.training.spec import TrainSpec
from workers.training import (
    MODEL,
    RECORD,
    training_inputs,
    training_nodes,
    training_processes,
    training_resources,
    training_run,
)

#: Earlier trainings are sized as well, and some settings did not exist then.
DEFAULTS = TrainSpec().to_dict()


class TrainParams(Params):
    """The version to train, and what it is made of."""

    model_version: int
    model: int
    dataset_version: int
    config_revision: int
    base_version: int | None = None
    #: The adapter of this base with whose weights it begins.
    begun_with: int | None = None
    #: The checkpoint of another run that it begins with; see registry.continuing.
    continued_from: int | None = None


@job_kinds.register
class Train(JobKind):
    """Goes on from the newest whole checkpoint of earlier attempts; publishes all or nothing."""

    name = "train"
    label = "Train a model version"
    Params = TrainParams
    uses_gpu = True
    pausable = True
    submittable = False  # it belongs to the version that it makes; "train again" makes both anew

    def check(self, params: TrainParams, *, actor: Any, team: Any) -> None:
        version = ModelVersion.objects.filter(
            pk=params.model_version, model__team=team, state=VersionState.PENDING
        ).first()
        if version is None:
            raise FieldError("model_version", "There is no such version waiting for its training.")

    def title(self, params: TrainParams) -> str:
        return f"Train model version {params.model_version}"

    def resources(self, params: TrainParams) -> dict[str, Any]:
        return training_resources(_revision(params))

    def gpus(self, params: TrainParams) -> int:
        return training_processes(_revision(params))

    def nodes(self, params: TrainParams) -> int:
        return training_nodes(_revision(params))

    def inputs(self, params: TrainParams) -> list[Input]:
        version = ModelVersion.objects.select_related(
            "dataset_version__dataset",
            "base_version__model",
            "config_revision__config",
            "record__begun_with__model",
        ).get(pk=params.model_version)
        assert version.dataset_version is not None and version.config_revision is not None
        found = [data_input(version.dataset_version), config_input(version.config_revision)]
        if version.base_version is not None:
            found.append(version_input(version.base_version, "base version"))
        if version.begun_with is not None:
            found.append(version_input(version.begun_with, "adapter"))
        return found

    def load(self, params: TrainParams, job: Any, folder: Path) -> dict[str, Any]:
        version = ModelVersion.objects.select_related(
            "dataset_version", "base_version", "config_revision__config", "record"
        ).get(pk=params.model_version)
        return {**training_inputs(version, folder), "speed": node_speed(job.node_name)}

    def run(self, params: TrainParams, inputs: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
        trained = training_run(inputs, ctx)
        return {"metrics": trained.metrics, "facts": trained.facts}

    def store(
        self, params: TrainParams, job: Any, result: dict[str, Any], output_dir: Path
    ) -> dict[str, Any]:
        record = record_files(job=job, folder=output_dir / RECORD)
        return {**result, "manifest": tree_put(output_dir / MODEL), "record": record}

    def apply(self, params: TrainParams, job: Any, result: dict[str, Any]) -> dict[str, Any]:
        version = version_complete(version_id=params.model_version, job=job, result=result)
        return {
            "model_version": version.pk, "digest": version.digest, "metrics": version.metrics,
        }  # fmt: skip

    def ended(self, params: TrainParams, job: Any) -> None:
        # A lost attempt is followed by another one; only the end of the job is a failure.
        if job.state in TERMINAL:
            version_fail(version_id=params.model_version, job=job)


def _revision(params: TrainParams) -> ConfigRevision:
    return ConfigRevision.objects.select_related("config").get(pk=params.config_revision)


def _need(spec: Mapping[str, Any], base: Mapping[str, Any] | None) -> Need:
    """Memory of a training of these settings; a base version's own shape goes first."""
    spec = {**DEFAULTS, **spec}
    shape = _shape(spec) if base is None else dict(base)
    sizes = estimate(
        shape,
        spec["batch_size"],
        spec["sequence_length"],
        spec["gradient_accumulation"],
        _precision(spec),
        dropout=spec["dropout"],
        trained=count_adapter(shape, spec["lora_rank"]) if spec["lora_rank"] else None,
        recomputed=spec["activation_checkpointing"],
        # Where it is left open, a processor writes in the loop and a GPU is not copied within.
        copied=spec["checkpoint_in_background"] == "on" and _whole(spec),
    )
    if spec["processes"] > 1:
        sizes = _shared(spec, shape, sizes)
    purposes = ("weights", "gradients", "optimizer", "activations")
    work = _work(spec, shape)
    return Need(
        parameters=sizes.parameters,
        bytes={
            **{name: getattr(sizes, name) for name in purposes},
            "overhead": sizes.overhead + sizes.copy,
        },
        step_flops=work.flops,
        token_flops=work.flops_per_token,
        serving=_serving(shape, sizes.parameters),
    )


def _serving(shape: Mapping[str, Any], parameters: int) -> Serving:
    """What the finished model takes where it serves; an adapter is merged into its base there."""
    context = read_shape(shape).context
    return Serving(
        weights=4 * parameters,
        overhead=PROCESS_OVERHEAD,
        context=context,
        context_bytes=cache_bytes(shape, context),
    )


def _step(
    spec: Mapping[str, Any], base: Mapping[str, Any] | None, speed: Mapping[str, Any], on_gpu: bool
) -> StepCost | None:
    """Seconds of a step of these settings on a node of this speed."""
    spec = {**DEFAULTS, **spec}
    # Several processes share the sequences; what they exchange is for earlier trainings to teach.
    rows = max(1, spec["batch_size"] // spec["processes"])
    work = _work({**spec, "batch_size": rows}, _shape(spec) if base is None else dict(base))
    try:
        rates = rates_of(speed, spec["threads"], on_gpu)
    except KeyError:
        return None
    gain = bf16_gain(speed, work.width, on_gpu) if _precision(spec, on_gpu) == "bf16" else None
    found = step_time(work, rates, gain or 1.0)
    return StepCost(seconds=dict(vars(found)), looking=looking_time(found))


def _work(spec: Mapping[str, Any], shape: Mapping[str, Any]) -> Work:
    return step_work(
        shape, spec["batch_size"], spec["sequence_length"], spec["gradient_accumulation"],
        spec["activation_checkpointing"],
    )  # fmt: skip


def _precision(spec: Mapping[str, Any], on_gpu: bool = False) -> str:
    """What is counted with where the node decides: GPUs have hardware for bf16."""
    if spec["precision"] == "auto":
        return "bf16" if on_gpu else "fp32"
    return str(spec["precision"])


def _whole(spec: Mapping[str, Any]) -> bool:
    """Whether the main process holds a whole model, of which it can take a copy."""
    return bool(spec["processes"] == 1 or spec["parallel"] == "ddp")


def _shared(
    spec: Mapping[str, Any], shape: Mapping[str, Any], sizes: MemoryEstimate
) -> MemoryEstimate:
    """What the processes of one node need together; refuses layers that they cannot cut."""
    processes, way = spec["processes"], spec["parallel"]
    if way == "tensor":
        try:
            check_cut(str(shape["model_type"]), read_shape(shape), processes)
        except InvalidWork as error:
            raise FieldError(error.field, error.message) from None
    return sizes.shared(processes, processes if way == "ddp" else 1, nodes=spec["nodes"])


def _shape(spec: Mapping[str, Any]) -> dict[str, Any]:
    if spec["preset"]:
        if spec["preset"] not in PRESETS:
            raise FieldError(
                "preset", _("Choose one of %(names)s.") % {"names": ", ".join(PRESETS)}
            )
        shape = PRESETS[spec["preset"]].config()
    else:
        shape = dict(spec["architecture"] or {})
    context = "n_positions" if shape.get("model_type") == "gpt2" else "max_position_embeddings"
    shape |= {"vocab_size": spec["vocab_size"], context: spec["sequence_length"]}
    try:
        known = read_shape(shape)
    except (TypeError, ValueError, ZeroDivisionError):
        raise FieldError("architecture", _("Its sizes must be whole numbers.")) from None
    if not shape.get("model_type") or known.hidden < 1 or known.layers < 1:
        raise FieldError(
            "architecture",
            _("Give model_type, the width (hidden_size) and the number of layers."),
        )
    return shape


register(
    *(
        Preset(
            name=preset.name,
            label=preset.label,
            parameters=count_parameters(preset.config()),
            vocab_size=preset.vocab_size,
            sequence_length=preset.sequence_length,
            architecture=preset.architecture,
        )
        for preset in PRESETS.values()
    ),
    estimator=_need,
    timer=_step,
)

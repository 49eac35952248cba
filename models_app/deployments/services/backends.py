"""Which engine can serve which version, with which settings, and on which nodes."""

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from models_app.configs.specs import ServingSpec
from models_app.core.errors import FieldError
from models_app.pools.models import Node
from models_app.pools.selectors import node_list
from models_app.registry.models import ModelVersion

#: Engine -> formats of versions that it serves.
FORMATS: dict[str, tuple[str, ...]] = {
    "slipway": ("safetensors", "int8", "ngram", "hmm"),
    "openvino": ("openvino",),
    "vllm": ("safetensors",),
}
#: Engine -> the distribution that its nodes have beyond those of every worker.
PACKAGES = {"openvino": "openvino", "vllm": "vllm"}
_REMEDIES: dict[str, Any] = {
    "slipway": gettext_lazy(
        "The engine slipway does not serve the format %(format)s. Choose the engine %(engines)s."
    ),
    "openvino": gettext_lazy(
        "The engine openvino serves versions in the format openvino; this one is in %(format)s."
        " Convert it, or choose the engine %(engines)s."
    ),
    "vllm": gettext_lazy(
        "The engine vllm serves versions in safetensors; this one is in %(format)s. Choose the"
        " engine %(engines)s."
    ),
}


def backend_check(version: ModelVersion, spec: ServingSpec) -> None:
    """FieldError where the engine cannot serve this version with these settings anywhere."""
    backend = spec.backend
    if version.format not in FORMATS[backend]:
        fitting = [name for name, formats in FORMATS.items() if version.format in formats]
        words = {"format": version.format, "engines": " / ".join(fitting)}
        raise FieldError("spec.backend", str(_REMEDIES[backend]) % words)
    if backend == "openvino" and spec.tensor_parallel > 1:
        said = _("The engine openvino computes in one process. Split over 1.")
        raise FieldError("spec.tensor_parallel", said)
    if backend == "vllm" and spec.draft:
        said = _("The engine vllm is served without drafts. Leave this empty.")
        raise FieldError("spec.draft", said)
    ready = [node for node in node_list() if getattr(node, "ready", False)]
    if ready and len(nodes_without(backend, ready)) == len(ready):
        said = _(
            "No node that is ready has %(package)s. Install it on one: pip install -r"
            " requirements/%(package)s.txt, then start its worker again."
        )
        raise FieldError("spec.backend", said % {"package": PACKAGES[backend]})


def nodes_without(backend: str, nodes: Iterable[Node] | None = None) -> list[str]:
    """Names of the nodes that cannot run this engine; none for the engine of every worker."""
    package = PACKAGES.get(backend)
    if package is None:
        return []
    rows = node_list() if nodes is None else nodes
    return [node.name for node in rows if not node.capacity.get("packages", {}).get(package)]

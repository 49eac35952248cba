"""The kinds of configuration and their typed contents: forms, API schema and checks follow them."""

from django.utils.translation import gettext as _

from models_app.configs.specs.alerts import AlertsSpec
from models_app.configs.specs.base import Spec
from models_app.configs.specs.data import DataSpec
from models_app.configs.specs.markov import HmmSpec, NgramSpec
from models_app.configs.specs.serving import ServingSpec
from models_app.configs.specs.training import TrainingSpec
from models_app.core.errors import FieldError

SPECS: dict[str, type[Spec]] = {
    "training": TrainingSpec,
    "ngram": NgramSpec,
    "hmm": HmmSpec,
    "serving": ServingSpec,
    "data": DataSpec,
    "alerts": AlertsSpec,
}

__all__ = [
    "SPECS", "AlertsSpec", "DataSpec", "HmmSpec", "NgramSpec", "ServingSpec", "Spec",
    "TrainingSpec", "spec_class",
]  # fmt: skip


def spec_class(kind: str) -> type[Spec]:
    """The contents of a kind of configuration, or FieldError naming the known kinds."""
    try:
        return SPECS[kind]
    except KeyError:
        known = ", ".join(sorted(SPECS))
        said = _("There is no kind %(name)r. Known: %(known)s.")
        raise FieldError("kind", said % {"name": kind, "known": known}) from None

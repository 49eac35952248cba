"""What an environment gets: a revision with its overlay applied, checked as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from models_app.configs.merging import merge_patch, patched_paths
from models_app.configs.specs import Spec, spec_class
from models_app.core.digests import digest_json
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse


@dataclass(frozen=True, kw_only=True)
class Effective:
    """Checked settings with their digest, and the paths that the overlay decides."""

    spec: Spec
    digest: str
    overlaid: frozenset[str]

    def source_of(self, path: str) -> str:
        """`overlay` or `base`: where the value of a setting comes from."""
        inside = any(p == path or p.startswith(f"{path}.") for p in self.overlaid)
        return "overlay" if inside else "base"


def effective_spec(kind: str, base: Mapping[str, Any], patch: Mapping[str, Any]) -> Effective:
    """`base` with the overlay `patch`. Raises InvalidInput with paths under `patch` or `base`."""
    model = spec_class(kind)
    paths = patched_paths(patch)
    try:
        spec = parse(model, merge_patch(base, patch))
    except InvalidInput as error:
        raise InvalidInput(
            {f"{_side(path, paths)}.{path}": texts for path, texts in error.errors.items()}
        ) from None
    plain = spec.plain()
    return Effective(
        spec=spec, digest=digest_json({"kind": kind, "spec": plain}), overlaid=frozenset(paths)
    )


def _side(path: str, patched: set[str]) -> str:
    decides = any(
        p == path or path.startswith(f"{p}.") or p.startswith(f"{path}.") for p in patched
    )
    return "patch" if decides else "base"


def check_patch(patch: Any) -> dict[str, Any]:
    """A patch is a mapping, not too large to be read."""
    if not isinstance(patch, Mapping):
        raise InvalidInput({"patch": _("Write settings as “name: value”, one a line.")})
    return dict(patch)

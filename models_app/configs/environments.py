"""The names of the environments that overlays are for.

Configurations stand below the app that owns environments: it registers at start how they are found.
"""

from collections.abc import Callable

from models_app.core.errors import FieldError
from models_app.core.names import one_of

_sources: list[Callable[[], list[str]]] = []


def register(names: Callable[[], list[str]]) -> None:
    """Say where the names come from, in the order in which people read them."""
    _sources[:] = [names]


def environment_names() -> list[str]:
    """All of them; none where nothing registered."""
    return _sources[0]() if _sources else []


def check_environment(name: str, field: str = "environment") -> str:
    """The name, or FieldError with the known ones."""
    known = environment_names()
    if name not in known:
        raise FieldError(field, one_of(known))
    return name

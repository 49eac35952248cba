"""A catalogue of extensions by name: twice the same name or an unknown one fails loudly."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Generic, TypeVar

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError

T = TypeVar("T")


class Catalog(Generic[T]):
    """Instances registered by their `name`; `noun` is marked for translation where it is given."""

    def __init__(self, noun: str) -> None:
        self.noun = noun
        self._items: dict[str, T] = {}

    def register(self, cls: type[T]) -> type[T]:
        """Class decorator: make one instance of `cls` and file it under `cls.name`."""
        name: str = cls.name  # type: ignore[attr-defined]
        if name in self._items:
            raise RuntimeError(f"two {self.noun}s are called {name!r}")
        self._items[name] = cls()
        return cls

    def get(self, name: str) -> T:
        """Raises FieldError naming the known ones."""
        try:
            return self._items[name]
        except KeyError:
            known = ", ".join(sorted(self._items)) or _("none")
            said = _("There is no %(noun)s %(name)r. Known: %(known)s.")
            raise FieldError(
                self.noun.replace(" ", "_"),
                said % {"noun": _(self.noun), "name": name, "known": known},
            ) from None

    def __contains__(self, name: str) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())


def import_all(package_name: str) -> None:
    """Import every module of a package, so that its classes register themselves."""
    package = importlib.import_module(package_name)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package_name}.{module.name}")

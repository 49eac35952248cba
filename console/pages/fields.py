"""Form fields that people fill in in other units, or as words, than services take."""

import math
from typing import Any

from django import forms
from django.utils.translation import gettext as _


class ScaledField(forms.FloatField):
    """A number in a unit for people (GiB, minutes), given on in a smaller one (MiB, seconds)."""

    def __init__(self, *, factor: int, **options: Any) -> None:
        self.factor = factor
        super().__init__(**options)
        self.widget.attrs.setdefault("min", "0")
        self.widget.attrs.setdefault("step", "any")

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        if number is None:
            return None
        if not math.isfinite(number * self.factor):
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return round(number * self.factor)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value / self.factor:.6g}"
        return value


class LabelsField(forms.CharField):
    """Labels as `name=value`, one a line or parted by commas; a dictionary for the service."""

    widget = forms.Textarea

    def __init__(self, **options: Any) -> None:
        options.setdefault("required", False)
        options.setdefault("max_length", 8000)
        super().__init__(**options)
        self.widget.attrs.update({"rows": 4, "class": "mono", "spellcheck": "false"})
        self.widget.attrs.setdefault("placeholder", "gpu=h100")

    def to_python(self, value: Any) -> Any:
        found: dict[str, str] = {}
        problems: list[str] = []
        for line in str(super().to_python(value)).replace(",", "\n").splitlines():
            if not line.strip():
                continue
            name, sign, text = (part.strip() for part in line.partition("="))
            if not (sign and name and text):
                said = _("“%(line)s” is no label. Write name=value, one a line.")
                problems.append(said % {"line": line.strip()[:80]})
                continue
            if name in found:
                problems.append(_("%(name)s is there twice.") % {"name": name[:80]})
            found[name] = text
        if problems:
            raise forms.ValidationError(problems[:5])
        return found

    def validate(self, value: Any) -> None:
        if self.required and not value:
            raise forms.ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """The lengths and letters of labels are the service's matter."""

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, dict):
            return "\n".join(f"{name}={text}" for name, text in sorted(value.items()))
        return value

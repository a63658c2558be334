"""Form fields for a chain of engines, and for keys nobody is shown."""

from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from backend.events.keys import MASK, KeyRefused, checked_key
from backend.events.models import LAST_ENGINE, engine_name
from backend.leases.services import installed_engines
from contract.engines import CATALOGUE

PICKABLE = tuple(name for name in CATALOGUE if name != LAST_ENGINE)


class ChainWidget(forms.Widget):
    """As many rows as there are engines to pick; those not needed stay empty."""

    template_name = "events/chain.html"

    @property
    def media(self) -> forms.Media:
        return forms.Media(css={"all": ["events/chain.css"]}, js=["events/chain.js"])

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        installed = installed_engines()
        picked = [engine for engine in dict.fromkeys(value or ()) if engine in PICKABLE]
        rows = [*picked, *("" for _ in range(len(PICKABLE) - len(picked)))]
        context["rows"] = [
            [_choice(engine, picked=row, installed=installed) for engine in PICKABLE] for row in rows
        ]
        context["last"] = engine_name(LAST_ENGINE)
        return context

    def value_from_datadict(self, data: QueryDict, files: Any, name: str) -> list[str]:
        return [engine for engine in data.getlist(name) if engine]

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return False  # an empty chain is one


class ChainField(forms.Field):
    widget = ChainWidget

    def to_python(self, value: Any) -> list[str]:
        picked = list(dict.fromkeys(value or ()))
        if not set(picked) <= set(PICKABLE):
            raise ValidationError("There is no such engine.")
        return picked


@dataclass(frozen=True, kw_only=True)
class KeyChange:
    """What becomes of a stored key; nothing, unless one is given or it is to be forgotten."""

    key: str = field(default="", repr=False)
    is_forgotten: bool = False


class KeyWidget(forms.Widget):
    """It shows `mask`, and never what was typed."""

    template_name = "events/key.html"
    mask = ""

    @property
    def media(self) -> forms.Media:
        return forms.Media(css={"all": ["events/key.css"]})

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, None, attrs)
        context["mask"] = self.mask
        return context

    def value_from_datadict(self, data: QueryDict, files: Any, name: str) -> KeyChange:
        typed = data.get(name, "").strip()
        # A mask that comes back, as browsers and scripts do it, is nothing new.
        return KeyChange(key="" if typed.startswith(MASK) else typed, is_forgotten=f"{name}-forget" in data)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        return name not in data


class KeyField(forms.Field):
    widget = KeyWidget

    def __init__(self, **options: Any) -> None:
        super().__init__(required=False, **options)

    def clean(self, value: KeyChange) -> KeyChange:
        if not value.key:
            return value
        if value.is_forgotten:
            raise ValidationError("Either paste another key, or have this one forgotten.")
        try:
            return KeyChange(key=checked_key(value.key))
        except KeyRefused as refused:
            raise ValidationError(str(refused)) from None

    def has_changed(self, initial: Any, data: KeyChange) -> bool:
        return data != KeyChange()


def _choice(engine: str, *, picked: str, installed: frozenset[str] | None) -> dict[str, object]:
    is_missing = installed is not None and engine not in installed
    label = f"{engine_name(engine)} (on no worker)" if is_missing else engine_name(engine)
    return {"id": engine, "label": label, "is_picked": engine == picked}

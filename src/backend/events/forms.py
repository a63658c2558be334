"""What people fill in, checked in plain words."""

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.html import format_html, format_html_join
from django.utils.translation import get_language_info

from backend.events.addresses import why_refused
from backend.events.models import LAST_ENGINE, EngineCredential, Event, EventRoom, engine_name
from backend.events.widgets import PICKABLE, ChainField, KeyChange, KeyField
from backend.leases.services import installed_engines
from contract.engines import CATALOGUE

MAX_OPTION_CHARS = 500


class EventForm(forms.ModelForm):  # type: ignore[type-arg]
    language = forms.ChoiceField(
        help_text="What is spoken, unless whoever starts the subtitles asks for another language."
    )
    chain = ChainField(
        label="Engines",
        required=False,
        help_text="The first transcribes. While it fails the next one steps in, in this order. What is said goes "
        "to the company or server behind the engine; the offline recogniser alone keeps it here.",
    )

    class Meta:
        model = Event
        fields = (
            "name",
            "slug",
            "transcription_enabled",
            "chain",
            "language",
            "glossary",
            "transcript_policy",
            "transcript_retention_days",
            "monthly_budget_hours",
            "organisers",
            "external_event_id",
        )
        help_texts = {
            "slug": "A short name for addresses and commands, such as spring-assembly.",
            "transcription_enabled": "Off: subtitles cannot be started in the event's rooms, and running ones stop.",
            "glossary": "Names and terms that engines should know, one a line: people, places, products.",
            "transcript_policy": "Of those in one of the event's rooms. Everybody there sees that one is kept.",
            "transcript_retention_days": "After the meeting has ended its transcript is erased this many days later. "
            "Empty: as the deployment says.",
            "monthly_budget_hours": "Hours of speech sent to engines in a calendar month. Once they are used up the "
            "offline recogniser takes over. Empty: no limit.",
            "external_event_id": "What another system, such as Eventyay, calls this event.",
            "organisers": "Who may change this event's rooms, engines and keys. They need an account that may use "
            "the admin (staff) and the group Event organisers.",
        }
        widgets = {"glossary": forms.Textarea(attrs={"rows": 6, "dir": "auto"})}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "language" in self.fields:
            self.fields["language"].choices = _languages()
            self.fields["language"].initial = settings.SUBTITLES_LANGUAGE
        if "transcript_policy" in self.fields:
            _, *choices = self.fields["transcript_policy"].choices
            self.fields["transcript_policy"].choices = [("", "as the deployment says"), *choices]

    def clean_chain(self) -> list[str]:
        chain: list[str] = self.cleaned_data["chain"]
        installed = installed_engines()
        if installed is not None:
            # Those it had before are let pass: their worker may be away just now.
            for engine in chain:
                if engine not in installed and engine not in self.instance.chain:
                    raise ValidationError(
                        f"{engine_name(engine)} is on no worker of this deployment: install it there, or pick another."
                    )
        return chain

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        first = next(iter(cleaned.get("chain", ())), LAST_ENGINE)
        language = cleaned.get("language")
        if "chain" in cleaned and language and language not in CATALOGUE[first].languages:
            self.add_error(
                "language",
                f"{engine_name(first)}, the first engine, does not understand {_language_name(language)}.",
            )
        return cleaned


class RoomForm(forms.ModelForm):  # type: ignore[type-arg]
    # LiveKit compares exactly, so nothing is cut off here either.
    name = forms.CharField(
        max_length=256,
        strip=False,
        help_text="Exactly as LiveKit has it; capitals count.",
        widget=forms.TextInput(attrs={"class": "vTextField", "dir": "auto"}),
    )

    class Meta:
        model = EventRoom
        fields = ("name", "external_room_id")

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != name.strip():
            raise ValidationError("This name begins or ends with a blank: take it out.")
        return name


class CredentialForm(forms.ModelForm):  # type: ignore[type-arg]
    engine = forms.ChoiceField(choices=[("", "—"), *((name, engine_name(name)) for name in PICKABLE)])
    base_url = forms.CharField(
        label="Address",
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField", "inputmode": "url", "spellcheck": "false"}),
        help_text="Only for a server of your own, such as https://speech.example.org/v1. Empty: the engine's own.",
    )
    model = forms.CharField(
        max_length=200, required=False, widget=forms.TextInput(attrs={"class": "vTextField"})
    )
    options = forms.CharField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    key = KeyField(label="Key")

    class Meta:
        model = EngineCredential
        fields = ("engine", "event", "base_url", "model", "options")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        is_kept = self.instance.pk is not None
        for name in {"engine", "event"} & set(self.fields):
            # A key was given for this engine and this event, and is for no other.
            self.fields[name].disabled = is_kept
        if "options" in self.fields:
            self.initial["options"] = option_lines(self.instance.options)
            engines = [CATALOGUE[name] for name in PICKABLE if not is_kept or name == self.instance.engine]
            self.fields["options"].help_text = _in_words(
                "One a line, as name=value.", {engine.name: engine.options for engine in engines}
            )
            self.fields["model"].help_text = _in_words(
                "Empty: the engine's usual one.", {engine.name: engine.models for engine in engines}
            )
        if "key" in self.fields:
            self.fields["key"].widget.mask = self.instance.masked_key

    def clean_options(self) -> dict[str, str]:
        return _parsed(self.cleaned_data["options"])

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        engine = cleaned.get("engine")
        if engine in CATALOGUE:
            self._check_options(engine)
            self._check_address(engine)
        return cleaned

    def save(self, commit: bool = True) -> EngineCredential:
        change: KeyChange = self.cleaned_data["key"]
        if change.key:
            self.instance.seal(change.key)
        elif change.is_forgotten:
            self.instance.forget_key()
        credential: EngineCredential = super().save(commit=commit)
        return credential

    def _check_options(self, engine: str) -> None:
        known = CATALOGUE[engine].options
        for name in self.cleaned_data.get("options", ()):
            if name not in known:
                has = f"; it has: {', '.join(known)}" if known else ""
                self.add_error("options", f"{engine_name(engine)} has no option {name[:40]}{has}.")

    def _check_address(self, engine: str) -> None:
        url, is_another = self.cleaned_data.get("base_url", ""), "base_url" in self.changed_data
        if not url and CATALOGUE[engine].needs_base_url:
            self.add_error("base_url", f"{engine_name(engine)} needs the address of its server.")
        # One that stays was checked before, and is checked by workers; its host may be away just now.
        if url and is_another and (refused := why_refused(engine=engine, url=url)):
            self.add_error("base_url", refused)
        if is_another and self.instance.has_key and self.cleaned_data.get("key") == KeyChange():
            # Else whoever may change the address could have the key sent to a server of theirs.
            self.add_error("key", "The address is another one: paste the key for it again.")


def _languages() -> list[tuple[str, str]]:
    codes = {code for engine in CATALOGUE.values() for code in engine.languages}
    return sorted(((code, _language_name(code)) for code in codes), key=lambda choice: choice[1])


def _language_name(code: str) -> str:
    try:
        return str(get_language_info(code)["name"])
    except KeyError:
        return code


def option_lines(options: dict[str, str]) -> str:
    return "\n".join(f"{name}={value}" for name, value in options.items())


def _parsed(text: str) -> dict[str, str]:
    """`name=value` a line. Raises ValidationError."""
    options = {}
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, sign, value = (part.strip() for part in line.partition("="))
        if not (sign and name and value) or len(value) > MAX_OPTION_CHARS:
            raise ValidationError("Write one option a line, as name=value.")
        options[name] = value
    return options


def _in_words(sentence: str, known: Mapping[str, Sequence[str]]) -> str:
    """HTML: the sentence, then a line for each engine that has any."""
    lines = format_html_join(
        "", "<br>{}: {}", ((name, ", ".join(some)) for name, some in known.items() if some)
    )
    return format_html("{}{}", sentence, lines)

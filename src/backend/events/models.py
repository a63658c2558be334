"""What organisers set up: events, their rooms, and the keys of engines."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models

from backend.engines import LAST_ENGINE
from backend.events.keys import hint_of, mask_of
from backend.sealing import seals
from contract.engines import CATALOGUE, EnginesCause

MAX_TERMS = 200
MAX_TERM_CHARS = 80


def terms_of(glossary: str) -> tuple[str, ...]:
    """A term a line, each once."""
    return tuple(dict.fromkeys(term for line in glossary.splitlines() if (term := line.strip())))


def validate_glossary(glossary: str) -> None:
    terms = terms_of(glossary)
    if len(terms) > MAX_TERMS:
        raise ValidationError(f"A glossary has at most {MAX_TERMS} terms; these are {len(terms)}.")
    if long := next((term for term in terms if len(term) > MAX_TERM_CHARS), None):
        raise ValidationError(f"A term has at most {MAX_TERM_CHARS} characters; too long: {long[:20]}…")


class Event(models.Model):
    """What belongs together: rooms, their engines, and who looks after them. A room is in one event at most."""

    slug = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    language = models.CharField(max_length=35, default="en")
    glossary = models.TextField(blank=True, validators=[validate_glossary])
    transcription_enabled = models.BooleanField("subtitles are allowed", default=True)
    # As another system calls it, such as Eventyay; null: none does.
    external_event_id = models.CharField("id elsewhere", max_length=64, null=True, blank=True, unique=True)
    chain = models.JSONField("engines", default=list, blank=True)
    monthly_budget_hours = models.DecimalField(
        "monthly budget, hours",
        max_digits=8,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.01"))],
    )
    # Who may have transcripts kept; empty: as the deployment says.
    transcript_policy = models.CharField(
        "who may keep a transcript",
        max_length=16,
        blank=True,
        choices=[("off", "nobody"), ("room_admin", "room admins"), ("anyone", "anybody in the room")],
    )
    transcript_retention_days = models.PositiveIntegerField(
        "days a transcript is kept", null=True, blank=True, validators=[MinValueValidator(1)]
    )
    organisers = models.ManyToManyField(settings.AUTH_USER_MODEL, blank=True, related_name="events")

    class Meta:
        permissions = [("see_every_event", "Can see every event")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(monthly_budget_hours__isnull=True) | models.Q(monthly_budget_hours__gt=0),
                name="budget_is_positive",
            )
        ]
        ordering = ["name", "pk"]

    def __str__(self) -> str:
        return self.name

    @property
    def engines(self) -> tuple[str, ...]:
        """The chain as it is tried: each engine once, those that exist no more left out, the embedded one last."""
        picked = [name for name in self.chain if name in CATALOGUE and name != LAST_ENGINE]
        return (*dict.fromkeys(picked), LAST_ENGINE)

    @property
    def terms(self) -> tuple[str, ...]:
        return terms_of(self.glossary)


class EventRoom(models.Model):
    """A LiveKit room by its exact name; there need not be one of that name now."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="rooms")
    name = models.CharField(
        max_length=256, unique=True, error_messages={"unique": "This room is in an event already."}
    )
    external_room_id = models.CharField("id elsewhere", max_length=64, null=True, blank=True)  # noqa: DJ001 (null: no other system has it)

    class Meta:
        verbose_name = "room"
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class EngineCredential(models.Model):
    """How an engine is reached, and its key, sealed. Without an event it is for all events that have none of it."""

    engine = models.CharField(max_length=64)
    event = models.ForeignKey(
        Event, on_delete=models.CASCADE, null=True, blank=True, related_name="credentials"
    )
    base_url = models.CharField("address", max_length=500, blank=True)
    model = models.CharField(max_length=200, blank=True)
    options = models.JSONField(default=dict, blank=True)
    ciphertext = models.TextField(blank=True, editable=False)
    # Of the passphrase that the ciphertext is under, so that a rotation knows what is left to do.
    key_fingerprint = models.CharField(max_length=16, blank=True, editable=False)
    last_four = models.CharField(max_length=4, blank=True, editable=False)
    updated_at = models.DateTimeField("last changed", auto_now=True)

    SEALED = ("ciphertext", "key_fingerprint", "last_four")

    class Meta:
        verbose_name = "engine key"
        constraints = [
            models.UniqueConstraint(
                fields=["engine", "event"],
                name="one_credential_per_engine_of_an_event",
                violation_error_message="This event has a key of this engine already: change that one.",
            ),
            # NULLs are never equal, so the constraint above says nothing about the deployment's own.
            models.UniqueConstraint(
                fields=["engine"],
                condition=models.Q(event__isnull=True),
                name="one_credential_per_engine_of_all",
                violation_error_message="There is a key of this engine for all events already: change that one.",
            ),
        ]
        ordering = ["engine", "event"]

    def __str__(self) -> str:
        return f"{engine_name(self.engine)} ({self.event or 'all events'})"

    def save(self, *args: Any, **options: Any) -> None:
        """What is sealed is written only after `seal` or `forget_key`: a row that was read before a rotation
        must not bring back what it held."""
        if not (self._state.adding or options.get("update_fields")):
            kept = () if self._is_sealed_anew else self.SEALED
            options["update_fields"] = [
                field.name
                for field in self._meta.concrete_fields
                if not field.primary_key and field.name not in kept
            ]
        super().save(*args, **options)
        self._is_sealed_anew = False

    _is_sealed_anew = False

    @property
    def has_key(self) -> bool:
        return bool(self.ciphertext)

    @property
    def masked_key(self) -> str:
        return mask_of(self.last_four) if self.has_key else ""

    @property
    def counts(self) -> bool:
        """Whether it can be used; where it cannot, the deployment's may be."""
        return self.has_key or not CATALOGUE[self.engine].needs_key

    def seal(self, key: str) -> None:
        sealed = seals().seal(key)
        self.ciphertext, self.key_fingerprint = sealed.ciphertext, sealed.fingerprint
        self.last_four = hint_of(key)
        self._is_sealed_anew = True

    def forget_key(self) -> None:
        self.ciphertext = self.key_fingerprint = self.last_four = ""
        self._is_sealed_anew = True

    def open_key(self) -> str:
        """Empty: it has none. Raises Unreadable."""
        return seals().open(self.ciphertext) if self.has_key else ""


class EnginesHandout(models.Model):
    """A worker was given the engines of a session, with their keys."""

    session = models.ForeignKey("leases.Session", on_delete=models.CASCADE, related_name="handouts")
    generation = models.PositiveIntegerField()
    worker = models.CharField(max_length=255)
    cause = models.CharField(max_length=16, choices=[(c, c) for c in EnginesCause])
    engines = models.JSONField()
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        verbose_name = "handing out of keys"
        verbose_name_plural = "handing out of keys"
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.worker}, {self.at:%Y-%m-%d %H:%M:%S}"


def engine_name(engine: str) -> str:
    """For people."""
    return CATALOGUE[engine].name if engine in CATALOGUE else engine

"""Keys from the command line, and their rotation."""

import io
import re
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from backend.events.keys import KeyRefused, checked_key, hint_of, mask_of
from backend.events.models import EngineCredential
from backend.events.rotation import Rotation, rotate
from backend.leases.models import Session
from backend.sealing import Seals, Unreadable
from tests.backend.test_event_chains import KEY, OTHER_KEY, made_event, made_key

database = pytest.mark.django_db

NEW, OLD, OTHER = (f"{name}-passphrase-of-more-than-32-characters" for name in ("new", "old", "other"))


@pytest.mark.parametrize(("given", "key"), [(KEY, KEY), (f"  {KEY}\n", KEY), ("short", "short")])
def test_blanks_around_a_key_are_not_part_of_it(given: str, key: str) -> None:
    assert checked_key(given) == key


@pytest.mark.parametrize(
    "given",
    [
        "",
        " \n",
        "••••",
        "•••• cdef",
        "sk-••••",
        "********",
        "xxxx",
        "a b",
        "a\nb",
        "ключ",
        "a\0b",
        "k" * 4097,
    ],
)
def test_what_no_engine_made_is_refused_and_not_repeated(given: str) -> None:
    with pytest.raises(KeyRefused) as refused:
        checked_key(given)
    assert len(given.strip()) < 3 or given.strip() not in str(refused.value)


@pytest.mark.parametrize(("key", "mask"), [(KEY, "•••• cdef"), ("a-short-key", "••••"), ("", "••••")])
def test_a_key_is_known_by_its_last_characters_unless_they_are_much_of_it(key: str, mask: str) -> None:
    assert mask_of(hint_of(key)) == mask


def run(*arguments: str, stdin: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
    out = io.StringIO()
    call_command("set_engine_key", *arguments, stdout=out)
    return out.getvalue()


@database
def test_a_key_is_read_from_standard_input_and_stored_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    event = made_event("r", slug="spring")
    Session.objects.create(room="r", event=event, room_sid="RM", language="en", engine="embedded")

    said = run("--engine=deepgram", stdin=f"{KEY}\n", monkeypatch=monkeypatch)
    of_event = run(
        "--engine=openai_compatible",
        "--event=spring",
        "--base-url=https://93.184.216.34/v1",
        "--model=large",
        "--option=tries=2",
        "--option=response_format=json",
        stdin=OTHER_KEY,
        monkeypatch=monkeypatch,
    )

    assert said == "stored: Deepgram, all events, •••• cdef\n"
    assert of_event == "stored: OpenAI-compatible server, Event, •••• dcba\n"
    for_all, for_event = EngineCredential.objects.order_by("engine")
    assert (for_all.event, for_all.open_key(), for_all.last_four) == (None, KEY, "cdef")
    assert (for_event.event, for_event.open_key(), for_event.model) == (event, OTHER_KEY, "large")
    assert for_event.base_url == "https://93.184.216.34/v1"
    assert for_event.options == {"tries": "2", "response_format": "json"}
    assert KEY not in str(vars(for_all)) and KEY not in repr(for_all)
    assert Session.objects.get().engines_revision == 3


@database
def test_another_key_replaces_the_first_and_leaves_the_rest_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    made_key("openai", model="whisper-1", options={"tries": "2"})

    run("--engine=openai", stdin=OTHER_KEY, monkeypatch=monkeypatch)

    stored = EngineCredential.objects.get()
    assert (stored.open_key(), stored.model, stored.options) == (OTHER_KEY, "whisper-1", {"tries": "2"})


@database
@pytest.mark.parametrize(
    ("arguments", "stdin", "why"),
    [
        (["--engine=deepgram"], "\n", "There is no key"),
        (["--engine=deepgram"], "•••• cdef\n", "This is a mask"),
        (["--engine=deepgram"], f"{KEY}\n{KEY}\n", "one word"),
        (["--engine=deepgram"], "k" * 10_000, "at most 4096"),
        (["--engine=embedded"], KEY, "invalid choice"),
        (["--engine=deepgram", "--event=none"], KEY, "There is no event none"),
        (["--engine=deepgram", "--option=x=1"], KEY, "no option x"),
        (["--engine=deepgram", "--option=x"], KEY, "name=value"),
        (["--engine=deepgram", "--base-url=http://169.254.169.254/"], KEY, "private network"),
        (["--engine=whisper"], KEY, "needs the address"),
    ],
)
def test_what_cannot_be_stored_is_refused_in_words_that_do_not_hold_the_key(
    arguments: list[str], stdin: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CommandError, match=why) as refused:
        run(*arguments, stdin=stdin, monkeypatch=monkeypatch)
    assert KEY not in str(refused.value)
    assert not EngineCredential.objects.exists()


def sealed_under(passphrase: str, engine: str, settings: Any) -> EngineCredential:
    settings.API_KEY_ENCRYPTION_KEY = [passphrase]
    return made_key(engine, key=f"{engine}-0123456789abcdef")


def rotated(settings: Any) -> tuple[str, bool]:
    """What the command says, and whether it succeeds."""
    settings.API_KEY_ENCRYPTION_KEY = [NEW, OLD]
    out = io.StringIO()
    try:
        call_command("rotate_api_keys", stdout=out)
    except CommandError:
        return out.getvalue(), False
    return out.getvalue(), True


@database
def test_a_rotation_seals_everything_anew_and_the_old_passphrase_can_go(settings: Any) -> None:
    sealed_under(OLD, "deepgram", settings)
    sealed_under(NEW, "openai", settings)
    made_key("whisper", key="", base_url="https://a.example")
    Session.objects.create(room="r", room_sid="RM", language="en", engine="embedded")
    before = EngineCredential.objects.get(engine="deepgram").updated_at

    assert rotated(settings) == ("rotated: 1, already current: 1, unreadable: 0\n", True)
    assert rotated(settings) == ("rotated: 0, already current: 2, unreadable: 0\n", True)

    settings.API_KEY_ENCRYPTION_KEY = [NEW]
    keys = {row.engine: row.open_key() for row in EngineCredential.objects.all()}
    assert keys == {
        "deepgram": "deepgram-0123456789abcdef",
        "openai": "openai-0123456789abcdef",
        "whisper": "",
    }
    assert {row.key_fingerprint for row in EngineCredential.objects.exclude(ciphertext="")} == {
        Seals([NEW]).fingerprint
    }
    # Nothing changed for those who use the keys.
    assert EngineCredential.objects.get(engine="deepgram").updated_at == before
    assert Session.objects.get().engines_revision == 1


@database
def test_what_cannot_be_read_is_counted_and_the_rest_is_rotated(settings: Any) -> None:
    sealed_under(OTHER, "deepgram", settings)
    sealed_under(OLD, "openai", settings)
    broken = sealed_under(NEW, "whisper", settings)
    EngineCredential.objects.filter(pk=broken.pk).update(ciphertext="gAAAAABbroken")

    assert rotated(settings) == ("rotated: 1, already current: 0, unreadable: 2\n", False)
    assert Seals([NEW]).open(EngineCredential.objects.get(engine="openai").ciphertext)


class Interrupted(Exception):
    pass


@database
def test_an_interrupted_rotation_leaves_everything_readable_and_the_next_one_finishes(settings: Any) -> None:
    for engine in ("deepgram", "openai", "whisper"):
        sealed_under(OLD, engine, settings)
    settings.API_KEY_ENCRYPTION_KEY = [NEW, OLD]

    class FailsAtTheSecond(Seals):
        sealed = 0

        def seal_again(self, ciphertext: str) -> Any:
            self.sealed += 1
            if self.sealed == 2:
                raise Interrupted
            return super().seal_again(ciphertext)

    with pytest.raises(Interrupted):
        rotate(FailsAtTheSecond([NEW, OLD]))

    assert all(row.open_key() == f"{row.engine}-0123456789abcdef" for row in EngineCredential.objects.all())
    assert rotated(settings) == ("rotated: 2, already current: 1, unreadable: 0\n", True)


@database
def test_a_key_that_somebody_saves_meanwhile_is_not_lost(settings: Any) -> None:
    sealed_under(OLD, "deepgram", settings)

    class Overtaken(Seals):
        """Somebody saves another key, still under the old passphrase, between reading and writing."""

        times = 0

        def seal_again(self, ciphertext: str) -> Any:
            sealed = super().seal_again(ciphertext)
            self.times += 1
            if self.times <= 2:
                anew = Seals([OLD]).seal(f"{OTHER_KEY}-{self.times}")
                EngineCredential.objects.update(ciphertext=anew.ciphertext, key_fingerprint=anew.fingerprint)
            return sealed

    assert rotate(Overtaken([NEW, OLD])) == Rotation(rotated=1)
    assert Seals([NEW]).open(EngineCredential.objects.get().ciphertext) == f"{OTHER_KEY}-2"


@database
def test_a_rotation_says_nothing_of_what_it_read(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    sealed_under(OLD, "deepgram", settings)

    said, _ = rotated(settings)

    assert re.fullmatch(r"[a-z :,0-9\n]+", said)
    assert "0123456789abcdef" not in said + caplog.text


@database
def test_a_key_sealed_under_a_lost_passphrase_is_unreadable(settings: Any) -> None:
    credential = sealed_under(OLD, "deepgram", settings)
    settings.API_KEY_ENCRYPTION_KEY = [NEW]

    with pytest.raises(Unreadable):
        credential.open_key()

"""Provider keys at rest."""

import pytest

from backend.sealing import Seals, Unreadable

NEW, OLD, OTHER = (f"{name}-passphrase-of-more-than-32-characters" for name in ("new", "old", "other"))
KEY = "sk-live-0123456789"


def test_a_key_is_sealed_under_the_newest_passphrase_and_opened_under_any() -> None:
    sealed = Seals([OLD]).seal(KEY)

    assert KEY not in sealed.ciphertext
    assert Seals([OLD]).open(sealed.ciphertext) == KEY
    assert Seals([NEW, OLD]).open(sealed.ciphertext) == KEY
    for foreign in (Seals([NEW]), Seals([NEW, OTHER])):
        with pytest.raises(Unreadable):
            foreign.open(sealed.ciphertext)


def test_sealing_again_moves_a_key_to_the_newest_passphrase() -> None:
    both = Seals([NEW, OLD])
    sealed = both.seal_again(Seals([OLD]).seal(KEY).ciphertext)

    assert Seals([NEW]).open(sealed.ciphertext) == KEY
    assert sealed.fingerprint == both.fingerprint == Seals([NEW]).fingerprint
    with pytest.raises(Unreadable):
        both.seal_again(Seals([OTHER]).seal(KEY).ciphertext)


def test_a_fingerprint_tells_passphrases_apart_and_gives_none_away() -> None:
    prints = {Seals([phrase]).fingerprint for phrase in (NEW, OLD, OTHER)}

    assert len(prints) == 3
    assert all(len(mark) == 16 for mark in prints)


@pytest.mark.parametrize("ciphertext", ["", "x", "gAAAAA", "é", "gAAAAABl" + "A" * 100])
def test_what_nobody_sealed_is_unreadable(ciphertext: str) -> None:
    with pytest.raises(Unreadable):
        Seals([NEW]).open(ciphertext)


def test_the_same_passphrase_makes_the_same_key_in_every_release() -> None:
    # Sealed on 2026-11-27. If this fails, what deployments have stored cannot be read any more.
    kept = (
        "gAAAAABrCPHIaeJCwAeUa0IBT4RpwN_kRhb4cV2m61Gph2i8WUSYAuUrFO5pdoal"
        "wRxJQ5xirpSN0LrVCn_aTQvOQBGiF5Mlm4-iK8aVvVNB156MmkIY-dM="
    )

    assert Seals([OLD]).open(kept) == KEY

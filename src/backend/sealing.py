"""Provider keys at rest: sealed under the newest passphrase, opened under any of them."""

import base64
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

KEY_INFO = b"roomscribe provider keys v1"
FINGERPRINT_INFO = b"roomscribe provider keys v1 fingerprint"


class Unreadable(Exception):
    """Sealed under a passphrase that is not among those of now, or not by us."""


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """`fingerprint` tells which passphrase it is under."""

    ciphertext: str
    fingerprint: str


class Seals:
    def __init__(self, passphrases: Sequence[str]) -> None:
        """Newest first; at least one."""
        keys = [_derived(phrase, length=32, info=KEY_INFO) for phrase in passphrases]
        self._fernet = MultiFernet([Fernet(base64.urlsafe_b64encode(key)) for key in keys])
        self.fingerprint = _derived(passphrases[0], length=8, info=FINGERPRINT_INFO).hex()
        """Of the newest passphrase."""

    def seal(self, secret: str) -> Sealed:
        return self._sealed(self._fernet.encrypt(secret.encode()))

    def open(self, ciphertext: str) -> str:
        """Raises Unreadable."""
        try:
            return self._fernet.decrypt(ciphertext.encode()).decode()
        except InvalidToken:
            raise Unreadable from None

    def seal_again(self, ciphertext: str) -> Sealed:
        """The same under the newest passphrase. Raises Unreadable."""
        try:
            return self._sealed(self._fernet.rotate(ciphertext.encode()))
        except InvalidToken:
            raise Unreadable from None

    def _sealed(self, token: bytes) -> Sealed:
        return Sealed(ciphertext=token.decode(), fingerprint=self.fingerprint)


def seals() -> Seals:
    """Those of this deployment."""
    return _seals(tuple(settings.API_KEY_ENCRYPTION_KEY))


@functools.lru_cache(maxsize=4)
def _seals(passphrases: tuple[str, ...]) -> Seals:
    return Seals(passphrases)


def _derived(passphrase: str, *, length: int, info: bytes) -> bytes:
    """Without a salt: the passphrase is random, and every process has to come to the same key."""
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(passphrase.encode())

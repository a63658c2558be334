"""The environment, read in one way."""

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping


class StrippedMapping(FileAwareMapping):  # type: ignore[misc]
    """NAME_FILE may name a file that holds NAME, as container secrets do. Such a file usually ends in a newline."""

    def __getitem__(self, name: str) -> str:
        return str(super().__getitem__(name)).strip()


class Environment(environ.Env):  # type: ignore[misc]
    ENVIRON = StrippedMapping()

    def names(self, name: str) -> list[str]:
        """Comma-separated, blanks around each of no matter."""
        return [item.strip() for item in self(name) if item.strip()]

    def pairs(self, name: str) -> dict[str, str]:
        """`key:secret,key:secret`."""
        found = [item.partition(":") for item in self.names(name)]
        if not all(key and secret for key, _, secret in found):
            raise ImproperlyConfigured(f"{name} must be like key:secret,key:secret.")
        return {key: secret for key, _, secret in found}

from django.apps import AppConfig


class TokensConfig(AppConfig):
    name = "backend.tokens"

    def ready(self) -> None:
        from backend.tokens import schema  # noqa: F401 (registers itself)

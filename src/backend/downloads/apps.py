from django.apps import AppConfig


class DownloadsConfig(AppConfig):
    name = "backend.downloads"

    def ready(self) -> None:
        from backend.downloads.services import forget_exports_of
        from backend.retention.erasure import on_erase

        on_erase(forget_exports_of)

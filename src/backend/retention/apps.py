from django.apps import AppConfig


class RetentionConfig(AppConfig):
    name = "backend.retention"

    def ready(self) -> None:
        from backend.events.services import before_delete
        from backend.retention.requests import erase_before_delete

        before_delete(erase_before_delete)

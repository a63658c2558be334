from django.apps import AppConfig
from django.db.models.signals import post_migrate


class EventsConfig(AppConfig):
    name = "backend.events"
    verbose_name = "Events and engines"

    def ready(self) -> None:
        from backend.events.roles import make_groups

        post_migrate.connect(make_groups, sender=self, dispatch_uid="roles")

from django.apps import AppConfig


class LeasesConfig(AppConfig):
    name = "backend.leases"
    verbose_name = "Subtitles"

from django.apps import AppConfig


class UsageConfig(AppConfig):
    name = "backend.usage"
    verbose_name = "Usage and budgets"

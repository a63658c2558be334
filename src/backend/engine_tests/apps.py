from django.apps import AppConfig


class EngineTestsConfig(AppConfig):
    name = "backend.engine_tests"
    verbose_name = "Engine tests"

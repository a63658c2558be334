from django.apps import AppConfig


class ThrottlesConfig(AppConfig):
    name = "backend.throttles"

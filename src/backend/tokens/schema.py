"""How the API's documentation names the token; apart, because REST framework imports authentication first."""

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from backend.tokens.authentication import LiveKitTokenAuthentication


class LiveKitTokenScheme(OpenApiAuthenticationExtension):
    target_class = LiveKitTokenAuthentication
    name = "LiveKitToken"

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A LiveKit participant token, signed with this deployment's LiveKit key.",
        }

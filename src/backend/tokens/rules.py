"""What we ask of a token beyond its signature, one claim and one function at a time.

A rule says whether it holds. The first that does not decides the answer, so the types come first (401: not a
token anybody should have signed), then the rights (403: authentic, and not allowed here). Each may rely on
those before it. docs/explanation/tokens.md says why each is here.
"""

from collections.abc import Callable
from typing import Any

from backend.errors import AppError, RoomForbidden, TokenRefused
from backend.tokens.jws import JsonObject
from backend.tokens.names import is_name, is_room_name

LEEWAY_S = 60
"""How far two clocks may be apart; LiveKit's own figure."""
MAX_LIFETIME_S = 24 * 3600

TIMES = ("exp", "nbf", "iat")
STRINGS = ("identity", "name", "kind", "metadata", "sha256", "roomPreset", "jti")
OBJECTS = (
    "video", "sip", "inference", "observability", "agent", "agentEndpoint", "agentThread", "attributes",
    "roomConfig",
)  # fmt: skip
OTHER_GRANTS = ("sip", "inference", "observability", "agent")
KNOWN_CLAIMS = frozenset({"iss", "sub", "aud", "kindDetails", *TIMES, *STRINGS, *OBJECTS})

VIDEO_BOOLEANS = (
    "roomCreate", "roomList", "roomRecord", "roomAdmin", "canPublish", "canSubscribe", "canPublishData",
    "canUpdateOwnMetadata", "canSubscribeMetrics", "canManageAgentSession", "ingressAdmin",
    "hidden", "recorder", "agent",
)  # fmt: skip
KNOWN_VIDEO_GRANTS = frozenset({"room", "roomJoin", "destinationRoom", "canPublishSources", *VIDEO_BOOLEANS})

Rule = Callable[[JsonObject, float], bool]


def claims_are_spelt_exactly(payload: JsonObject, _now_s: float) -> bool:
    """livekit-server reads claims whatever their case, we as written: `Hidden` would hide from us."""
    return _spelt(payload, KNOWN_CLAIMS) and _spelt(payload.get("video"), KNOWN_VIDEO_GRANTS)


def times_are_numbers(payload: JsonObject, _now_s: float) -> bool:
    return "exp" in payload and all(_is_time(payload[name]) for name in TIMES if name in payload)


def not_expired(payload: JsonObject, now_s: float) -> bool:
    return now_s < payload["exp"] + LEEWAY_S


def lifetime_is_bounded(payload: JsonObject, now_s: float) -> bool:
    """A token cannot be revoked; at least it ends."""
    return payload["exp"] <= now_s + MAX_LIFETIME_S + LEEWAY_S


def already_begun(payload: JsonObject, now_s: float) -> bool:
    return all(payload.get(name, 0) <= now_s + LEEWAY_S for name in ("nbf", "iat"))


def has_no_audience(payload: JsonObject, _now_s: float) -> bool:
    """LiveKit's tokens name none; one that does is for somebody else. The verifier overlooks an empty one."""
    return "aud" not in payload


def strings_are_strings(payload: JsonObject, _now_s: float) -> bool:
    return all(isinstance(payload[name], str) for name in STRINGS if name in payload)


def objects_are_objects(payload: JsonObject, _now_s: float) -> bool:
    return all(isinstance(payload[name], dict) for name in OBJECTS if name in payload)


def attributes_are_strings(payload: JsonObject, _now_s: float) -> bool:
    return all(isinstance(value, str) for value in payload.get("attributes", {}).values())


def kind_details_are_strings(payload: JsonObject, _now_s: float) -> bool:
    return "kindDetails" not in payload or _is_strings(payload["kindDetails"])


def other_grants_are_booleans(payload: JsonObject, _now_s: float) -> bool:
    return all(isinstance(value, bool) for name in OTHER_GRANTS for value in payload.get(name, {}).values())


def video_grants_are_typed(payload: JsonObject, _now_s: float) -> bool:
    """`room` and `roomJoin` have rules of their own below."""
    video = payload.get("video", {})
    return (
        all(isinstance(video[name], bool) for name in VIDEO_BOOLEANS if name in video)
        and isinstance(video.get("destinationRoom", ""), str)
        and ("canPublishSources" not in video or _is_strings(video["canPublishSources"]))
    )


def is_no_webhook(payload: JsonObject, _now_s: float) -> bool:
    """A webhook's token signs a body and is nobody's."""
    return payload.get("sha256", "") == ""


def may_join(payload: JsonObject, _now_s: float) -> bool:
    """True and nothing that merely counts as true."""
    return payload.get("video", {}).get("roomJoin") is True


def names_one_room(payload: JsonObject, _now_s: float) -> bool:
    return is_room_name(payload["video"].get("room"))


def is_a_person(payload: JsonObject, _now_s: float) -> bool:
    """Agents, recorders and whoever hides are no participants who could ask for subtitles."""
    video = payload["video"]
    return payload.get("kind", "") in ("", "standard") and not any(
        video.get(grant, False) for grant in ("agent", "recorder", "hidden")
    )


def identity_is_a_name(payload: JsonObject, _now_s: float) -> bool:
    """Only `sub`: livekit-server would fall back to `jti`."""
    return is_name(payload.get("sub"))


RULES: tuple[tuple[type[AppError], Rule], ...] = (
    (TokenRefused, claims_are_spelt_exactly),
    (TokenRefused, times_are_numbers),
    (TokenRefused, not_expired),
    (TokenRefused, lifetime_is_bounded),
    (TokenRefused, already_begun),
    (TokenRefused, has_no_audience),
    (TokenRefused, strings_are_strings),
    (TokenRefused, objects_are_objects),
    (TokenRefused, attributes_are_strings),
    (TokenRefused, kind_details_are_strings),
    (TokenRefused, other_grants_are_booleans),
    (TokenRefused, video_grants_are_typed),
    (RoomForbidden, is_no_webhook),
    (RoomForbidden, may_join),
    (RoomForbidden, names_one_room),
    (RoomForbidden, is_a_person),
    (TokenRefused, identity_is_a_name),
)


def _spelt(value: Any, known: frozenset[str]) -> bool:
    folded = {name.casefold() for name in known}
    return not isinstance(value, dict) or all(key in known or key.casefold() not in folded for key in value)


def _is_time(value: Any) -> bool:
    # bool is an int to Python; beyond 2**53 readers disagree about the number.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**53


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)

"""Every error a client can meet.

AppError
├── TokenRefused           token_refused            401
├── InternalTokenRefused   internal_token_refused   401
├── AccountRefused         account_refused          401
├── RoomForbidden          room_forbidden           403
├── NotAParticipant        not_a_participant        403
├── ConnectionDetailsOff   connection_details_off   403
├── TranscriptsOff         transcripts_off          403
├── TranscriptForbidden    transcript_forbidden     403
├── NotACaptioner          not_a_captioner          403
├── LinkExpired            link_expired             403
├── RoomAbsent             room_absent              404
├── SegmentAbsent          segment_absent           404
├── TranscriptAbsent       transcript_absent        404
├── InvalidBody            invalid_body             400
│   ├── InvalidQuery          invalid_query
│   ├── FormatUnknown         format_unknown
│   ├── LanguageNotAvailable  language_not_available
│   ├── IdentityReserved      identity_reserved
│   └── AttributeNotAllowed   attribute_not_allowed
├── IdentityInUse          identity_in_use          409
├── ClaimStale             claim_stale              409
├── NobodyWouldSee         nobody_would_see         409
├── EngineTestTaken        engine_test_taken        409
├── WebhookRefused         webhook_refused          401
├── SubtitlesOff           subtitles_off            403
├── EventDisabled          event_disabled           403
├── PolicyForbids          policy_forbids           403
├── Throttled              throttled                429
├── StillStopping          still_stopping           503
├── AtCapacity             at_capacity              503
├── LiveKitUnavailable     livekit_unavailable      503
└── DatabaseUnavailable    database_unavailable     503

The `detail` of each is a constant sentence: an exception's own text never reaches a client.
`error_responses.py` turns them into HTTP.
"""

from contract.names import CODE_TRANSCRIPT_ABSENT


class AppError(Exception):
    code = "error"
    status = 500
    detail = "Something went wrong."
    retry_after_s: int | None = None


class TokenRefused(AppError):
    code, status, detail = "token_refused", 401, "A valid LiveKit participant token is needed."


class InternalTokenRefused(AppError):
    code, status, detail = "internal_token_refused", 401, "A valid worker token is needed."


class RoomForbidden(AppError):
    code, status, detail = "room_forbidden", 403, "This token does not allow this in this room."


class NotAParticipant(AppError):
    code, status, detail = "not_a_participant", 403, "Only somebody who is in the room now may do this."


class AccountRefused(AppError):
    code, status, detail = "account_refused", 401, "An account that is signed in, or its token, is needed."


class TranscriptsOff(AppError):
    code, status, detail = "transcripts_off", 403, "No transcripts are kept in this room."


class TranscriptForbidden(AppError):
    code, status, detail = "transcript_forbidden", 403, "This may not be done with this transcript."


class NotACaptioner(AppError):
    code, status, detail = "not_a_captioner", 403, "Only a token with the captioner's role may post lines."


class LinkExpired(AppError):
    code, status, detail = "link_expired", 403, "This link is not, or no longer, valid."


class ConnectionDetailsOff(AppError):
    code, status, detail = (
        "connection_details_off",
        403,
        "This deployment does not hand out room tokens here.",
    )


class SubtitlesOff(AppError):
    code, status, detail = "subtitles_off", 403, "Subtitles are switched off in this deployment."


class EventDisabled(AppError):
    code, status, detail = "event_disabled", 403, "This room's event wants no subtitles."


class PolicyForbids(AppError):
    code, status, detail = "policy_forbids", 403, "Starting and stopping is not for everybody here."


class RoomAbsent(AppError):
    code, status, detail = "room_absent", 404, "There is no such room now."


class SegmentAbsent(AppError):
    code, status, detail = "segment_absent", 404, "There is no such segment in this transcript."


class TranscriptAbsent(AppError):
    code, status, detail = CODE_TRANSCRIPT_ABSENT, 404, "There is no such transcript."


class InvalidBody(AppError):
    code, status, detail = "invalid_body", 400, "The request is not of the documented shape."


class InvalidQuery(InvalidBody):
    code, detail = "invalid_query", "A parameter of the query is not of the documented shape."


class FormatUnknown(InvalidBody):
    code, detail = "format_unknown", "There is no such format; see the API's description for those that are."


class LanguageNotAvailable(InvalidBody):
    code, detail = "language_not_available", "This language is not available; see config/ for those that are."


class IdentityReserved(InvalidBody):
    code, detail = "identity_reserved", "This identity is reserved."


class AttributeNotAllowed(InvalidBody):
    code, detail = "attribute_not_allowed", "Attributes and agents cannot be asked for here."


class IdentityInUse(AppError):
    code, status, detail = "identity_in_use", 409, "Somebody with this identity is in the room."


class ClaimStale(AppError):
    code, status, detail = "claim_stale", 409, "This lease is not, or no longer, to be had."


class NobodyWouldSee(AppError):
    code, status, detail = "nobody_would_see", 409, "No subtitles run here and no transcript is kept."


class EngineTestTaken(AppError):
    code, status, detail = "engine_test_taken", 409, "This engine test is not, or no longer, to be had."


class WebhookRefused(AppError):
    code, status, detail = "webhook_refused", 401, "The webhook's signature is not valid."


class StillStopping(AppError):
    code, status, detail = "still_stopping", 503, "The last subtitles are still being stopped."
    retry_after_s = 1


class AtCapacity(AppError):
    code, status, detail = "at_capacity", 503, "No capacity is left on this worker."
    retry_after_s = 2


class Throttled(AppError):
    code, status, detail = "throttled", 429, "Too many requests; try again later."

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class LiveKitUnavailable(AppError):
    code, status, detail = "livekit_unavailable", 503, "The LiveKit server does not answer."
    retry_after_s = 2


class DatabaseUnavailable(AppError):
    code, status, detail = "database_unavailable", 503, "The database does not answer."
    retry_after_s = 2

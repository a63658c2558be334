"""Segment: who said what, when."""

from collections.abc import Mapping
from dataclasses import dataclass

from contract import names
from contract.errors import ContractError

MAX_TEXT_CHARS = 4_000


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One revision of one stretch of one participant's speech.

    `text` is the whole segment so far. `sequence` orders segments within the meeting and, like `start_ms`
    (UTC epoch), is fixed at the first interim; `end_ms` grows. `id` is a UUID, `language` BCP 47. Two that people and
    the agent began at once may have one sequence: the earlier start comes first.
    """

    id: str
    track_sid: str
    sequence: int
    revision: int
    is_final: bool
    speaker_identity: str
    speaker_name: str
    language: str
    start_ms: int
    end_ms: int
    engine: str
    text: str
    is_backlog: bool = False
    is_corrected: bool = False

    def to_attributes(self) -> dict[str, str]:
        """Attributes of the text stream that carries `text`."""
        attributes = {
            names.ATTRIBUTE_SEGMENT_ID: self.id,
            names.ATTRIBUTE_FINAL: "true" if self.is_final else "false",
            names.ATTRIBUTE_TRACK_ID: self.track_sid,
            names.ATTRIBUTE_SEQUENCE: str(self.sequence),
            names.ATTRIBUTE_REVISION: str(self.revision),
            names.ATTRIBUTE_SPEAKER_IDENTITY: self.speaker_identity,
            names.ATTRIBUTE_SPEAKER_NAME: self.speaker_name,
            names.ATTRIBUTE_LANGUAGE: self.language,
            names.ATTRIBUTE_START_MS: str(self.start_ms),
            names.ATTRIBUTE_END_MS: str(self.end_ms),
            names.ATTRIBUTE_ENGINE: self.engine,
        }
        if self.is_backlog:
            attributes[names.ATTRIBUTE_BACKLOG] = "true"
        if self.is_corrected:
            attributes[names.ATTRIBUTE_CORRECTED] = "true"
        return attributes

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, str], text: str) -> "Segment":
        """Raises ContractError for a missing attribute or one that is not of its kind."""

        def wanted(name: str) -> str:
            if not isinstance(value := attributes.get(name), str):
                raise ContractError(name)
            return value

        def number(name: str) -> int:
            digits = wanted(name)
            if not (digits.isascii() and digits.isdigit() and len(digits) <= 16):
                raise ContractError(name)
            return int(digits)

        if wanted(names.ATTRIBUTE_FINAL) not in ("true", "false"):
            raise ContractError(names.ATTRIBUTE_FINAL)
        return cls(
            id=wanted(names.ATTRIBUTE_SEGMENT_ID),
            track_sid=wanted(names.ATTRIBUTE_TRACK_ID),
            sequence=number(names.ATTRIBUTE_SEQUENCE),
            revision=number(names.ATTRIBUTE_REVISION),
            is_final=wanted(names.ATTRIBUTE_FINAL) == "true",
            speaker_identity=wanted(names.ATTRIBUTE_SPEAKER_IDENTITY),
            speaker_name=wanted(names.ATTRIBUTE_SPEAKER_NAME),
            language=wanted(names.ATTRIBUTE_LANGUAGE),
            start_ms=number(names.ATTRIBUTE_START_MS),
            end_ms=number(names.ATTRIBUTE_END_MS),
            engine=wanted(names.ATTRIBUTE_ENGINE),
            text=text,
            is_backlog=attributes.get(names.ATTRIBUTE_BACKLOG) == "true",
            is_corrected=attributes.get(names.ATTRIBUTE_CORRECTED) == "true",
        )

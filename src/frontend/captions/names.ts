// The words of src/contract/names.py; tests hold both to tests/contract/golden/segments.json.

export const TOPIC_TRANSCRIPTION = "lk.transcription";
export const TOPIC_STATUS = "roomscribe.status";

export const ATTRIBUTE_SEGMENT_ID = "lk.segment_id";
export const ATTRIBUTE_FINAL = "lk.transcription_final";
export const ATTRIBUTE_TRACK_ID = "lk.transcribed_track_id";
export const ATTRIBUTE_SEQUENCE = "roomscribe.sequence";
export const ATTRIBUTE_REVISION = "roomscribe.revision";
export const ATTRIBUTE_SPEAKER_IDENTITY = "roomscribe.speaker_identity";
export const ATTRIBUTE_SPEAKER_NAME = "roomscribe.speaker_name";
export const ATTRIBUTE_LANGUAGE = "roomscribe.language";
export const ATTRIBUTE_START_MS = "roomscribe.start_ms";
export const ATTRIBUTE_END_MS = "roomscribe.end_ms";
export const ATTRIBUTE_ENGINE = "roomscribe.engine";
export const ATTRIBUTE_BACKLOG = "roomscribe.backlog";
export const ATTRIBUTE_CORRECTED = "roomscribe.corrected";

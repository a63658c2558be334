// Captions of a Roomscribe room for any web page; docs/how-to/embed-captions.md shows how.

export { defineRoomCaptions, RoomCaptionsElement, setText } from "./element.js";
export { CaptionFeed, type FeedListener, type Message } from "./feed.js";
export * from "./names.js";
export { type Captions, type Change, changesSince, MAX_SEGMENTS, NO_CAPTIONS, withSegment, withStored } from "./reducer.js";
export { attachCaptions, attachFeed, type CaptionedRoom, namesIn, type TextReader } from "./room.js";
export { ENGINE_HUMAN, isBefore, MAX_TEXT_CHARS, parseLine, parseSegment, type ReceivedText, type Segment, segmentKey } from "./segments.js";
export { captionedName, COLOURS, displayName, isPseudonym, type NameOf, type Speaker, SpeakerColours, speakerOf } from "./speakers.js";
export { parseStatus, type Reason, REASONS, type State, STATES, type Status, statusFrom, type Transcript, TRANSCRIPTS } from "./status.js";

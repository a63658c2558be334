// Captions of a Roomscribe room for any web page; docs/how-to/embed-captions.md shows how.

export { defineRoomCaptions, RoomCaptionsElement, setText } from "./element";
export { CaptionFeed, type FeedListener, type Message } from "./feed";
export * from "./names";
export { type Captions, MAX_SEGMENTS, NO_CAPTIONS, withSegment } from "./reducer";
export { attachCaptions, attachFeed, namesIn } from "./room";
export { MAX_TEXT_CHARS, parseSegment, type ReceivedText, type Segment, segmentKey } from "./segments";
export { captionedName, COLOURS, displayName, type NameOf, type Speaker, SpeakerColours } from "./speakers";
export { parseStatus, type Reason, REASONS, type State, STATES, type Status, statusFrom } from "./status";

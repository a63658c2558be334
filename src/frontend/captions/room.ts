// A livekit-client Room, listened to.

import { CaptionFeed, type FeedListener, type Message } from "./feed.js";
import { TOPIC_STATUS, TOPIC_TRANSCRIPTION } from "./names.js";
import { MAX_TEXT_CHARS } from "./segments.js";
import type { NameOf } from "./speakers.js";

// RoomEvent, spelled out: this library then brings no second copy of livekit-client along.
const DATA_RECEIVED = "dataReceived";
const PARTICIPANT_DISCONNECTED = "participantDisconnected";

/** What of livekit-client's `Room` is needed, in its own words: the types of another copy or version fit as well. */
export interface CaptionedRoom {
  registerTextStreamHandler(topic: string, handler: (reader: TextReader, sender: { identity: string }) => void): void;
  unregisterTextStreamHandler(topic: string): void;
  getParticipantByIdentity(identity: string): { readonly name?: string | undefined } | undefined;
  // An event's arguments are whatever livekit-client gives it.
  on(event: string, listener: (...args: any[]) => void): unknown;
  off(event: string, listener: (...args: any[]) => void): unknown;
}

/** Its `TextStreamReader`. */
export interface TextReader extends AsyncIterable<string> {
  readonly info: { readonly topic: string; readonly attributes?: Record<string, string> | undefined };
}

interface NamedParticipant {
  readonly identity: string;
  readonly name?: string | undefined;
}

/** A caption's text in UTF-16 units; whatever is longer is dropped unread. */
const MAX_STREAM_UNITS = 2 * MAX_TEXT_CHARS;

const MAX_NAMES = 1_000;

/** What people in the room are called; those who left keep their name. */
export function namesIn(room: CaptionedRoom): NameOf {
  const left = new Map<string, string>();
  room.on(PARTICIPANT_DISCONNECTED, ({ identity, name = "" }: NamedParticipant) => {
    left.delete(identity);
    left.set(identity, name);
    if (left.size > MAX_NAMES) left.delete(left.keys().next().value as string);
  });
  return (identity) => {
    const here = room.getParticipantByIdentity(identity);
    return here === undefined ? left.get(identity) : (here.name ?? "");
  };
}

/**
 * Listen to the captions and the status of a room; returns what ends it. Call it before `room.connect()`, so
 * that what a newcomer is sent at once is not missed.
 */
export function attachCaptions(room: CaptionedRoom, listener: FeedListener): () => void {
  return attachFeed(room, new CaptionFeed(listener));
}

/** The same for a feed of one's own, which can then also be told the state that GET answers (`feed.follow`). */
export function attachFeed(room: CaptionedRoom, feed: CaptionFeed): () => void {
  let isAttached = true;
  const receive = (message: Message): void => {
    if (isAttached) feed.receive(message);
  };

  const onText = (reader: TextReader, sender: { identity: string }): void => {
    void readCapped(reader).then((text) => {
      if (text === null) return;
      const { topic, attributes = {} } = reader.info;
      receive({ topic, attributes, text, senderIdentity: sender.identity });
    });
  };
  const onData = (
    payload: Uint8Array,
    participant?: NamedParticipant,
    _kind?: unknown,
    topic?: string,
    _encryption?: unknown,
    participantIdentity?: string,
  ): void => {
    if (topic !== TOPIC_STATUS || payload.byteLength > MAX_STREAM_UNITS) return;
    // The name itself too, where the client tells it: a sender may be in the room before it is announced.
    const senderIdentity = participantIdentity || participant?.identity || "";
    receive({ topic, senderIdentity, text: new TextDecoder().decode(payload) });
  };

  room.registerTextStreamHandler(TOPIC_TRANSCRIPTION, onText);
  room.registerTextStreamHandler(TOPIC_STATUS, onText);
  room.on(DATA_RECEIVED, onData);
  return () => {
    isAttached = false;
    room.unregisterTextStreamHandler(TOPIC_TRANSCRIPTION);
    room.unregisterTextStreamHandler(TOPIC_STATUS);
    room.off(DATA_RECEIVED, onData);
  };
}

/** The stream's text, or null if it is too long or breaks off. */
async function readCapped(reader: TextReader): Promise<string | null> {
  let text: string | null = "";
  try {
    for await (const chunk of reader) {
      // Read on when it is too long: chunks nobody reads would pile up in the client.
      text = text !== null && text.length + chunk.length <= MAX_STREAM_UNITS ? text + chunk : null;
    }
  } catch {
    return null;
  }
  return text;
}

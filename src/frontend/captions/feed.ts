// Messages of a room become captions and status; knows no LiveKit, so any client can feed it.

import { Allowance, BACKLOG_ALLOWANCE } from "./allowance.js";
import { ATTRIBUTE_BACKLOG, TOPIC_STATUS, TOPIC_TRANSCRIPTION } from "./names.js";
import { type Captions, NO_CAPTIONS, storedLine, withOpenLinesEnded, withSegment, withStored } from "./reducer.js";
import { parseSegment, type Segment } from "./segments.js";
import { Pseudonyms } from "./speakers.js";
import { parseStatus, type State, type Status } from "./status.js";

/** States in which an agent may still end a line; the server may say `joining` a moment after it is live. */
const SPEAKING: ReadonlySet<State> = new Set<State>(["joining", "live", "degraded", "stopping"]);

/** States in which no agent is coming either: an interim is a late one, and would open a line nobody ends. */
const OVER: ReadonlySet<State> = new Set<State>(["idle", "failed"]);

export interface FeedListener {
  onCaptions?(captions: Captions): void;
  onStatus?(status: Status): void;
  /** The room speaks of a later revision of what the record has: read it again, soon, because its word is what counts. */
  onRecordChanged?(): void;
}

/** One text stream or data packet; `senderIdentity` is what LiveKit asserts, empty for server and hidden agent. */
export interface Message {
  readonly topic: string;
  readonly senderIdentity: string;
  readonly text: string;
  readonly attributes?: Readonly<Record<string, string>>;
}

export class CaptionFeed {
  captions: Captions = NO_CAPTIONS;
  readonly #listener: FeedListener;
  readonly #live = new Allowance();
  readonly #backlog = new Allowance(BACKLOG_ALLOWANCE);
  readonly #pseudonyms = new Pseudonyms();
  #state: State | null = null;

  constructor(listener: FeedListener) {
    this.#listener = listener;
  }

  receive({ topic, senderIdentity, text, attributes = {} }: Message): void {
    if (topic === TOPIC_TRANSCRIPTION) this.#receiveCaption({ senderIdentity, text, attributes });
    if (topic === TOPIC_STATUS) this.#receiveStatus({ senderIdentity, text });
  }

  /** The state as the page knows it; a message may have been lost, so GET says it too. */
  follow(state: State): void {
    this.#state = state;
    if (!SPEAKING.has(state)) this.#show(withOpenLinesEnded(this.captions));
  }

  /** Lines of the server's record (`parseLine`), in any order, as often as one likes. */
  store(lines: readonly Segment[]): void {
    this.#show(withStored(this.captions, lines));
  }

  #receiveCaption(received: Required<Omit<Message, "topic">>): void {
    const allowance = received.attributes[ATTRIBUTE_BACKLOG] === "true" ? this.#backlog : this.#live;
    if (!allowance.take(received.senderIdentity, performance.now())) return;
    const segment = parseSegment(received);
    if (segment === null) return;
    if (!segment.isFinal && this.#state !== null && OVER.has(this.#state)) return;
    const line = storedLine(this.captions, segment.id);
    this.#show(withSegment(this.captions, this.#pseudonyms.toldApart(segment)));
    if (line !== undefined && segment.revision > line.revision) this.#listener.onRecordChanged?.();
  }

  #receiveStatus({ senderIdentity, text }: Pick<Message, "senderIdentity" | "text">): void {
    // Only the server and a hidden agent speak without a name; a participant always carries one.
    if (senderIdentity !== "") return;
    const status = parseStatus(text);
    if (status === null) return;
    this.#listener.onStatus?.(status);
    this.follow(status.state);
  }

  #show(captions: Captions): void {
    if (captions === this.captions) return;
    this.captions = captions;
    this.#listener.onCaptions?.(captions);
  }
}

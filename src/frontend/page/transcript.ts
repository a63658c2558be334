// Everything said since one came, line by line; the element over it shows only the last words.

import {
  captionedName,
  type Captions,
  type NameOf,
  NO_CAPTIONS,
  type Segment,
  segmentKey,
  setText,
  type SpeakerColours,
} from "../captions";
import { make, say } from "./dom";

/** Lines in the page at first, and more with each "Show earlier": a long meeting must not slow it down. */
const LINES = 40;
/** After this long a line says again who speaks and when. */
const NAMED_AGAIN_MS = 60_000;
const NEAR_THE_END_PX = 48;

interface Line {
  readonly item: HTMLLIElement;
  readonly name: HTMLElement;
  readonly time: HTMLTimeElement;
  readonly text: HTMLElement;
}

export interface TranscriptOptions {
  /** Scrolls. */
  readonly pane: HTMLElement;
  readonly list: HTMLElement;
  readonly empty: HTMLElement;
  readonly earlier: HTMLButtonElement;
  readonly latest: HTMLButtonElement;
  readonly colours: SpeakerColours;
  readonly nameOf: NameOf;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export class Transcript {
  readonly #options: TranscriptOptions;
  readonly #lines = new Map<string, Line>();
  #captions: Captions = NO_CAPTIONS;
  #shown = LINES;
  #isFollowing = true;

  constructor(options: TranscriptOptions) {
    this.#options = options;
    const { pane, list, earlier, latest } = options;
    list.replaceChildren();
    pane.onscroll = () => this.#noticeScroll();
    earlier.onclick = () => this.#showEarlier();
    latest.onclick = () => this.#showLatest();
    this.#render();
  }

  show(captions: Captions): void {
    this.#captions = captions;
    this.#render();
  }

  refresh(): void {
    this.#render();
  }

  #render(): void {
    const { pane, list, empty, earlier, latest } = this.#options;
    const said = this.#captions.segments.filter(({ text }) => text.trim() !== "");
    const shown = said.slice(-this.#shown);
    const keys = new Set(shown.map(segmentKey));
    for (const [key, { item }] of this.#lines) {
      if (keys.has(key)) continue;
      item.remove();
      this.#lines.delete(key);
    }
    shown.forEach((segment, index) => {
      const key = segmentKey(segment);
      const line = this.#lines.get(key) ?? this.#newLine(segment);
      this.#lines.set(key, line);
      if (list.children[index] !== line.item) list.insertBefore(line.item, list.children[index] ?? null);
      this.#update(line, segment, shown[index - 1]);
    });
    empty.hidden = said.length > 0;
    earlier.hidden = said.length <= shown.length;
    latest.hidden = this.#isFollowing;
    if (this.#isFollowing) pane.scrollTop = pane.scrollHeight;
  }

  #newLine(segment: Segment): Line {
    const item = make("li", { class: "said", attributes: { "data-testid": "transcript-line" } });
    item.classList.add(`speaker-${this.#options.colours.of(segment.speakerIdentity)}`);
    item.dataset.segmentId = segment.id;
    item.dataset.speaker = segment.speakerIdentity;
    const name = make("bdi", { class: "said-by" });
    const at = new Date(segment.startMs);
    const time = make("time", { text: clock.format(at), attributes: { datetime: at.toISOString() } });
    const text = make("p", { attributes: { dir: "auto", lang: segment.language } });
    item.append(name, time, text);
    return { item, name, time, text };
  }

  #update({ item, name, text }: Line, segment: Segment, previous: Segment | undefined): void {
    say(name, captionedName(segment, this.#options.nameOf));
    setText(text, segment.text);
    item.dataset.final = String(segment.isFinal);
    item.dataset.revision = String(segment.revision);
    item.classList.toggle("goes-on", previous !== undefined && goesOn(previous, segment));
  }

  #noticeScroll(): void {
    const { pane, latest } = this.#options;
    this.#isFollowing = pane.scrollHeight - pane.scrollTop - pane.clientHeight < NEAR_THE_END_PX;
    latest.hidden = this.#isFollowing;
  }

  #showEarlier(): void {
    const { pane, earlier } = this.#options;
    const fromEnd = pane.scrollHeight - pane.scrollTop;
    this.#isFollowing = false;
    this.#shown += LINES;
    this.#render();
    pane.scrollTop = pane.scrollHeight - fromEnd;
    if (earlier.hidden) pane.focus();
  }

  #showLatest(): void {
    this.#isFollowing = true;
    this.#shown = LINES;
    this.#render();
    this.#options.pane.focus();
  }
}

function goesOn(previous: Segment, segment: Segment): boolean {
  return (
    previous.speakerIdentity === segment.speakerIdentity && segment.startMs - previous.startMs < NAMED_AGAIN_MS
  );
}

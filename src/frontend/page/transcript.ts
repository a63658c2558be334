// Everything said, line by line; the element over it shows only the last words. Only lines near what is in sight are
// in the page, however long the meeting.

import {
  captionedName,
  type Captions,
  changesSince,
  type NameOf,
  NO_CAPTIONS,
  type Segment,
  segmentKey,
  setText,
  type SpeakerColours,
  speakerOf,
} from "../captions/index";
import { Correction } from "./correction";
import { make, say } from "./dom";
import { Extents, guessedPx, type Span } from "./extents";

/** Lines drawn above and below what is in sight, so that scrolling does not show a gap. */
const MORE_LINES = 4;
/** After this long a line says again who speaks and when. */
const NAMED_AGAIN_MS = 60_000;
const NEAR_THE_END_PX = 48;
const MISMATCH_PX = 2;
const MOST_TRIES = 3;
/** Within the list. */
const FOCUS_EVENTS = ["focusin", "focusout"] as const;

/** A line, drawn or not. */
interface Entry {
  readonly key: string;
  segment: Segment;
  /** As it was when last drawn; null before. */
  heightPx: number | null;
}

interface Line {
  readonly item: HTMLLIElement;
  readonly name: HTMLElement;
  readonly time: HTMLTimeElement;
  readonly text: HTMLElement;
  readonly correct: HTMLButtonElement;
}

/** Whether a search finds a line of somebody who is called so. */
export type Finding = (segment: Segment, name: string) => boolean;

export interface Corrections {
  readonly isOffered: (segment: Segment) => boolean;
  /** Resolves to what went wrong, in words, or null. */
  readonly save: (segment: Segment, text: string) => Promise<string | null>;
}

/** A line and how far its top is below that of the pane. */
interface Anchor {
  readonly entry: Entry;
  readonly belowPx: number;
}

export interface TranscriptOptions {
  /** Scrolls. */
  readonly pane: HTMLElement;
  readonly list: HTMLElement;
  readonly empty: HTMLElement;
  readonly latest: HTMLButtonElement;
  readonly colours: SpeakerColours;
  readonly nameOf: NameOf;
  /** What a line is marked with where another engine than the meeting's own heard it; null: nothing. */
  readonly engineMark: (engine: string) => string | null;
  readonly corrections: Corrections | null;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

export class Transcript {
  readonly #options: TranscriptOptions;
  readonly #lines = new Map<string, Line>();
  #captions: Captions = NO_CAPTIONS;
  #entries: readonly Entry[] = [];
  readonly #entryOf = new WeakMap<Segment, Entry>();
  #extents = new Extents([], 0);
  /** Kept while somebody reads: a better one would move what they read. */
  #guessPx: number | null = null;
  #drawn: Span = { start: 0, end: 0 };
  readonly #resized = new ResizeObserver(() => this.#noticeSize());
  #widthPx = 0;
  #isFollowing = true;
  #finding: Finding | null = null;
  /** What the search said of each line. */
  #found = new WeakMap<Segment, boolean>();
  /** The line that is being corrected, and its field: it outlives being scrolled out of sight. */
  #correcting: { entry: Entry; readonly correction: Correction } | null = null;

  constructor(options: TranscriptOptions) {
    this.#options = options;
    const { pane, list, latest } = options;
    list.replaceChildren();
    pane.onscroll = this.#noticeScroll;
    for (const event of FOCUS_EVENTS) list.addEventListener(event, this.#noticeFocus);
    latest.onclick = () => this.#showLatest();
    this.#resized.observe(pane);
    this.#resized.observe(list);
    this.#render();
  }

  show(captions: Captions): void {
    const anchor = this.#anchor();
    this.#entries = this.#entriesOf(captions);
    this.#captions = captions;
    this.#render(anchor);
  }

  get shown(): readonly Segment[] {
    return this.#entries.map(({ segment }) => segment);
  }

  /** Leave only what this finds, newest in sight; null: all again, where one was reading. */
  find(finding: Finding | null): void {
    const anchor = finding === null ? this.#anchor() : null;
    if (finding !== null) this.#isFollowing = true;
    this.#finding = finding;
    this.#found = new WeakMap();
    this.#entries = this.#entriesOf(this.#captions);
    this.#render(anchor);
  }

  /** Draw again, after a name changed. */
  refresh(): void {
    this.#render();
  }

  /** Entries keep what is known of their lines; only what changed is looked at. */
  #entriesOf(captions: Captions): readonly Entry[] {
    for (const { segment, known } of changesSince(this.#captions, captions)) {
      const entry = known === undefined ? undefined : this.#entryOf.get(known);
      this.#entryOf.set(segment, entry ?? { key: segmentKey(segment), segment, heightPx: null });
    }
    const entries: Entry[] = [];
    for (const segment of captions.segments) {
      if (segment.text.trim() === "") continue;
      const entry = this.#entryOf.get(segment) as Entry;
      entry.segment = segment;
      if (this.#isWanted(segment)) entries.push(entry);
    }
    this.#moveCorrection(entries);
    return entries;
  }

  #isWanted(segment: Segment): boolean {
    if (this.#finding === null) return true;
    const known = this.#found.get(segment) ?? this.#finding(segment, captionedName(segment, this.#options.nameOf));
    this.#found.set(segment, known);
    return known;
  }

  /** The record may have a line under another speaker: it is the same one, for whoever corrects it. */
  #moveCorrection(entries: readonly Entry[]): void {
    const correcting = this.#correcting;
    if (correcting === null || entries.includes(correcting.entry)) return;
    correcting.entry = entries.find(({ segment }) => segment.id === correcting.entry.segment.id) ?? correcting.entry;
  }

  /** The next meeting has a transcript of its own in the same place. */
  end(): void {
    this.#resized.disconnect();
    for (const event of FOCUS_EVENTS) this.#options.list.removeEventListener(event, this.#noticeFocus);
  }

  #render(anchor: Anchor | null = this.#anchor()): void {
    const { pane, empty, latest } = this.#options;
    empty.hidden = this.#entries.length > 0 || this.#finding !== null;
    latest.hidden = this.#isFollowing || this.#correcting !== null;
    this.#measureExtents();
    for (let tries = 1; tries <= MOST_TRIES; tries += 1) {
      const span = this.#spanInSight(anchor);
      this.#draw(span);
      this.#measureLines();
      // Lower than was guessed, they leave room for more.
      const wanted = this.#spanInSight(anchor);
      if (wanted.start >= span.start && wanted.end <= span.end) break;
    }
    this.#spread();
    const topPx = this.#isFollowing ? pane.scrollHeight - pane.clientHeight : this.#topAt(anchor);
    if (Math.abs(pane.scrollTop - topPx) >= 0.5) pane.scrollTop = topPx;
  }

  #spanInSight(anchor: Anchor | null): Span {
    const heightPx = this.#options.pane.clientHeight;
    const topPx = this.#isFollowing ? this.#extents.heightPx - heightPx : this.#topAt(anchor);
    return this.#extents.near({ topPx, heightPx, more: MORE_LINES });
  }

  #measureLines(): void {
    for (const entry of this.#entries.slice(this.#drawn.start, this.#drawn.end)) {
      entry.heightPx = heightOf((this.#lines.get(entry.key) as Line).item);
    }
    this.#measureExtents();
  }

  #measureExtents(): void {
    const heightsPx = this.#entries.map(({ heightPx }) => heightPx);
    if (this.#isFollowing || this.#guessPx === null) this.#guessPx = guessedPx(heightsPx);
    this.#extents = new Extents(heightsPx, this.#guessPx);
  }

  /** The list is as high as if all lines were in it. */
  #spread(): void {
    const { list } = this.#options;
    list.style.paddingTop = `${this.#extents.topOf(this.#drawn.start)}px`;
    list.style.paddingBottom = `${this.#extents.heightPx - this.#extents.topOf(this.#drawn.end)}px`;
  }

  #draw(span: Span): void {
    const { list } = this.#options;
    const drawn = this.#entries.slice(span.start, span.end);
    const keys = new Set(drawn.map(({ key }) => key));
    for (const [key, { item }] of this.#lines) {
      if (keys.has(key)) continue;
      // Whoever stood on it is not left standing nowhere.
      if (item.contains(document.activeElement)) this.#options.pane.focus({ preventScroll: true });
      item.remove();
      this.#lines.delete(key);
    }
    drawn.forEach((entry, index) => {
      const { key, segment } = entry;
      const line = this.#lines.get(key) ?? this.#newLine(entry);
      this.#lines.set(key, line);
      if (list.children[index] !== line.item) list.insertBefore(line.item, list.children[index] ?? null);
      this.#update(line, segment, span.start + index);
    });
    this.#drawn = span;
  }

  #newLine(entry: Entry): Line {
    const { segment } = entry;
    const item = make("li", { class: "said", attributes: { "data-testid": "transcript-line" } });
    item.dataset.segmentId = segment.id;
    item.dataset.speaker = segment.speakerIdentity;
    const name = make("bdi", { class: "said-by" });
    const at = new Date(segment.startMs);
    const time = make("time", { text: clock.format(at), attributes: { datetime: at.toISOString() } });
    const text = make("p", { attributes: { dir: "auto", lang: segment.language } });
    const correct = make("button", { class: "correct", attributes: { type: "button", "data-testid": "correct" } });
    correct.onclick = () => this.#correct(entry);
    item.append(name, text);
    return { item, name, time, text, correct };
  }

  #update(line: Line, segment: Segment, index: number): void {
    const { item, name, time, text } = line;
    const { nameOf, colours, corrections } = this.#options;
    const isCorrectable = corrections?.isOffered(segment) ?? false;
    const previous = this.#entries[index - 1]?.segment;
    const doesGoOn = previous !== undefined && goesOn(previous, segment);
    const called = captionedName(segment, nameOf);
    say(name, called);
    setText(text, segment.text);
    item.dataset.final = String(segment.isFinal);
    item.dataset.revision = String(segment.revision);
    if (doesGoOn) time.remove();
    else if (time.parentNode === null) name.after(time);
    const engine = doesGoOn && previous.engine === segment.engine ? null : this.#options.engineMark(segment.engine);
    this.#mark(text, [engine, segment.isCorrected ? "Corrected" : null].filter((mark) => mark !== null).join(" · "));
    const kinds = ["said", `speaker-${colours.of(speakerOf(segment))}`, doesGoOn && "goes-on", isCorrectable && "correctable"];
    setAttribute(item, "class", kinds.filter(Boolean).join(" "));
    this.#offerCorrection(line, { segment, called, isOffered: isCorrectable });
    // Of how many it is which: screen readers see only the lines that are drawn.
    setAttribute(item, "aria-setsize", this.#entries.length);
    setAttribute(item, "aria-posinset", index + 1);
  }

  #offerCorrection(
    { item, text, correct }: Line,
    { segment, called, isOffered }: { segment: Segment; called: string; isOffered: boolean },
  ): void {
    const field = this.#correcting?.entry.segment === segment ? this.#correcting.correction.element : null;
    text.hidden = field !== null;
    setAttribute(correct, "aria-label", `Correct what ${called} said at ${clock.format(segment.startMs)}`);
    if (!isOffered || field !== null) correct.remove();
    else if (correct.parentNode === null) item.append(correct);
    if (field !== null && field.parentNode !== item) item.append(field);
  }

  #correct(entry: Entry): void {
    const { segment } = entry;
    this.#correcting?.correction.element.remove();
    const correction = new Correction({
      text: segment.text,
      language: segment.language,
      label: this.#lines.get(entry.key)?.correct.getAttribute("aria-label") ?? "",
      save: (text) => this.#options.corrections?.save(this.#correcting?.entry.segment ?? segment, text) ?? Promise.resolve(null),
      onEnd: () => this.#endCorrection(),
    });
    this.#correcting = { entry, correction };
    this.#render();
    correction.focus();
    correction.element.scrollIntoView({ block: "nearest" });
  }

  #endCorrection(): void {
    if (this.#correcting === null) return;
    const { entry, correction } = this.#correcting;
    this.#correcting = null;
    correction.element.remove();
    this.#render();
    const correct = this.#lines.get(entry.key)?.correct;
    (correct?.isConnected ? correct : this.#options.pane).focus();
  }

  #mark(text: HTMLElement, words: string): void {
    const mark = text.parentElement?.querySelector(".heard-by") ?? null;
    if (words === "") mark?.remove();
    else if (mark === null) text.before(make("small", { class: "heard-by", text: words }));
    else say(mark, words);
  }

  /** The first line in sight: whatever changes elsewhere, it stays where it is. Null while the latest is followed. */
  #anchor(): Anchor | null {
    return this.#isFollowing ? null : this.#anchorAt(this.#options.pane.scrollTop);
  }

  /** Nothing stands above the list. */
  #anchorAt(topPx: number): Anchor | null {
    if (this.#entries.length === 0) return null;
    const index = this.#extents.at(topPx);
    return { entry: this.#entries[index] as Entry, belowPx: this.#extents.topOf(index) - topPx };
  }

  #topAt(anchor: Anchor | null): number {
    const { pane } = this.#options;
    if (anchor === null) return pane.scrollTop;
    // It may have been pushed out: then whatever has its place.
    const { id } = anchor.entry.segment;
    const place = this.#entries.indexOf(anchor.entry);
    const index = place === -1 ? this.#entries.findIndex(({ segment }) => segment.id === id) : place;
    if (index === -1) return pane.scrollTop;
    return this.#extents.topOf(index) - anchor.belowPx;
  }

  readonly #noticeScroll = (): void => {
    const { pane, list } = this.#options;
    const isAtTheEnd = pane.scrollHeight - pane.scrollTop - pane.clientHeight < NEAR_THE_END_PX;
    // Whoever stands on a line stays there, whatever is said meanwhile.
    this.#isFollowing = isAtTheEnd && !list.contains(document.activeElement);
    this.#render();
  };

  /** It may go because a line is being drawn anew: that is done first. */
  readonly #noticeFocus = (): void => queueMicrotask(this.#noticeScroll);

  /** Of the pane, or of lines: text may be larger now, and then nothing is as high as it was. */
  #noticeSize(): void {
    const { pane, list } = this.#options;
    const isAsMeasured = Math.abs(list.offsetHeight - this.#extents.heightPx) < MISMATCH_PX;
    const anchor = this.#anchor();
    if (pane.clientWidth !== this.#widthPx || !isAsMeasured) this.#forgetHeights();
    this.#widthPx = pane.clientWidth;
    this.#render(anchor);
  }

  #forgetHeights(): void {
    for (const entry of this.#entries) entry.heightPx = null;
    this.#measureLines();
    this.#guessPx = guessedPx(this.#entries.map(({ heightPx }) => heightPx));
  }

  #showLatest(): void {
    this.#isFollowing = true;
    this.#render();
    this.#options.pane.focus();
  }
}

function goesOn(previous: Segment, segment: Segment): boolean {
  return (
    speakerOf(previous) === speakerOf(segment) && segment.startMs - previous.startMs < NAMED_AGAIN_MS
  );
}

/** Null while the page is not laid out. */
function heightOf(item: HTMLElement): number | null {
  return item.getBoundingClientRect().height || null;
}

function setAttribute(item: HTMLElement, name: string, value: string | number): void {
  if (item.getAttribute(name) !== String(value)) item.setAttribute(name, String(value));
}

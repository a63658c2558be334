// <room-captions>: the last lines of what is being said, over whatever is below.

import { Pacing, type Turn } from "./pacing";
import { type Captions, NO_CAPTIONS } from "./reducer";
import { type Segment, segmentKey } from "./segments";
import { captionedName, type NameOf, SpeakerColours } from "./speakers";
import { captionStyle } from "./style";

const MAX_ANNOUNCEMENTS = 10;

interface TurnView {
  readonly row: HTMLElement;
  readonly name: HTMLElement;
  readonly words: HTMLElement;
  readonly lines: Map<string, HTMLElement>;
}

/**
 * `show(captions)` is all it needs. `nameOf` (see `namesIn`) says what people are called in the
 * room, which wins over the name a caption carries. Attribute `announce="off"` keeps it silent for screen readers.
 */
export class RoomCaptionsElement extends HTMLElement {
  static readonly tag = "room-captions";

  nameOf: NameOf | null = null;
  /** Shared with the page where both colour speakers. */
  colours = new SpeakerColours();

  readonly #pacing = new Pacing();
  readonly #overlay = element("div", { part: "overlay", "aria-hidden": "true" });
  // Screen readers are given each segment once, when it is final: words that still change cannot be followed.
  readonly #announcer = element("div", { class: "announcer", role: "log", "aria-live": "polite" });
  readonly #views = new Map<string, TurnView>();
  #captions: Captions = NO_CAPTIONS;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    super();
    const root = this.attachShadow({ mode: "open" });
    root.adoptedStyleSheets = [captionStyle()];
    this.#announcer.setAttribute("aria-label", "Subtitles");
    root.append(this.#overlay, this.#announcer);
  }

  show(captions: Captions): void {
    this.#announce(captions);
    this.#captions = captions;
    this.#pacing.follow(captions, performance.now());
    this.#render();
  }

  /** Draw again, after a name changed. */
  refresh(): void {
    this.#render();
  }

  disconnectedCallback(): void {
    clearTimeout(this.#timer);
  }

  connectedCallback(): void {
    this.#render();
  }

  #render(): void {
    const nowMs = performance.now();
    const turns = this.#pacing.turnsAt(nowMs);
    const speaking = new Set(turns.map(({ speakerIdentity }) => speakerIdentity));
    for (const [identity, view] of this.#views) {
      if (speaking.has(identity)) continue;
      view.row.remove();
      this.#views.delete(identity);
    }
    for (const turn of turns) this.#renderTurn(turn);
    this.#overlay.classList.toggle("crowded", turns.length > 1);

    clearTimeout(this.#timer);
    const endMs = this.#pacing.nextEndMs();
    if (endMs !== null && this.isConnected) this.#timer = setTimeout(() => this.#render(), endMs - nowMs + 1);
  }

  #renderTurn({ speakerIdentity, segments }: Turn): void {
    const view = this.#views.get(speakerIdentity) ?? this.#newView(speakerIdentity);
    setText(view.name, captionedName(segments.at(-1) as Segment, this.nameOf));
    const keys = new Set(segments.map(segmentKey));
    for (const [key, line] of view.lines) {
      if (keys.has(key)) continue;
      line.remove();
      view.lines.delete(key);
    }
    segments.forEach((segment, index) => {
      const line = view.lines.get(segmentKey(segment)) ?? newLine(segment);
      view.lines.set(segmentKey(segment), line);
      if (view.words.children[index] !== line) view.words.insertBefore(line, view.words.children[index] ?? null);
      line.dataset.final = String(segment.isFinal);
      line.dataset.revision = String(segment.revision);
      setText(line, segment.text);
    });
  }

  #newView(identity: string): TurnView {
    const row = element("div", { part: "turn", class: "turn" });
    const name = element("bdi", { part: "name", class: `name colour-${this.colours.of(identity)}` });
    const words = element("div", { part: "words", class: "words" });
    row.dataset.speaker = identity;
    row.append(name, words);
    this.#overlay.append(row);
    const view = { row, name, words, lines: new Map<string, HTMLElement>() };
    this.#views.set(identity, view);
    return view;
  }

  #announce(captions: Captions): void {
    if (this.getAttribute("announce") === "off") return;
    for (const segment of captions.segments) {
      if (!segment.isFinal || segment.isBacklog || segment.text.trim() === "") continue;
      if (this.#captions.byKey.get(segmentKey(segment))?.isFinal) continue;
      const line = element("p", { dir: "auto" });
      line.textContent = `${captionedName(segment, this.nameOf)}: ${segment.text}`;
      this.#announcer.append(line);
    }
    while (this.#announcer.childElementCount > MAX_ANNOUNCEMENTS) this.#announcer.firstElementChild?.remove();
  }
}

/** Make `<room-captions>` known to the page; harmless when it already is. */
export function defineRoomCaptions(): void {
  if (customElements.get(RoomCaptionsElement.tag) === undefined) {
    customElements.define(RoomCaptionsElement.tag, RoomCaptionsElement);
  }
}

/** Change only what differs: words already on screen are not drawn anew while a line grows. */
export function setText(node: Element, text: string): void {
  const shown = node.firstChild;
  if (!(shown instanceof Text)) {
    node.textContent = text;
    return;
  }
  if (shown.data === text) return;
  let same = 0;
  while (same < text.length && text[same] === shown.data[same]) same += 1;
  shown.replaceData(same, shown.length - same, text.slice(same));
}

function newLine(segment: Segment): HTMLElement {
  const line = element("p", { part: "line", class: "line", dir: "auto", lang: segment.language });
  line.dataset.segmentId = segment.id;
  line.dataset.speaker = segment.speakerIdentity;
  return line;
}

function element(tag: string, attributes: Record<string, string>): HTMLElement {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// <room-captions>: the last lines of what is being said, over whatever is below.

import { type Line, Pacing, type Turn } from "./pacing.js";
import { type Captions, changesSince, NO_CAPTIONS } from "./reducer.js";
import { rowsOf } from "./rows.js";
import { type Segment, segmentKey } from "./segments.js";
import { captionedName, type NameOf, SpeakerColours, speakerOf } from "./speakers.js";
import { captionStyle } from "./style.js";

const MAX_ANNOUNCEMENTS = 10;

interface TurnView {
  readonly row: HTMLElement;
  readonly name: HTMLElement;
  readonly words: HTMLElement;
  readonly lines: Map<string, HTMLElement>;
}

// Where there is no page, such as on a server that renders one, the library can still be imported.
const PageElement = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * `show(captions)` is all it needs. `nameOf` (see `namesIn`) says what people are called in the
 * room, which wins over the name a caption carries. Attribute `announce="off"` keeps it silent for screen readers.
 */
export class RoomCaptionsElement extends PageElement {
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
  #resized: ResizeObserver | undefined;

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
    this.#resized?.disconnect();
  }

  connectedCallback(): void {
    this.#resized ??= new ResizeObserver(() => this.#render());
    // Called at once as well, and whenever rows break elsewhere.
    this.#resized.observe(this);
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
    const slots = Math.max(0, ...turns.map(({ slot }) => slot + 1));
    this.#overlay.style.setProperty("--slots", String(slots));
    for (const turn of turns) this.#renderTurn(turn, slots);
    // All are drawn before the first is measured: one layout is enough.
    const rolled = turns.filter((turn) => this.#hasRolled(turn, nowMs)).map(({ speakerIdentity }) => speakerIdentity);
    if (rolled.length > 0) {
      for (const turn of this.#pacing.turnsAt(nowMs)) if (rolled.includes(turn.speakerIdentity)) this.#renderTurn(turn, slots);
    }

    clearTimeout(this.#timer);
    const nextMs = this.#pacing.nextMs();
    if (nextMs !== null && this.isConnected) this.#timer = setTimeout(() => this.#render(), nextMs - nowMs + 1);
  }

  #hasRolled({ speakerIdentity, lines }: Turn, nowMs: number): boolean {
    const view = this.#views.get(speakerIdentity) as TurnView;
    const rows = lines.flatMap(({ segment, from }, line) => {
      const text = view.lines.get(segmentKey(segment))?.firstChild;
      return text instanceof Text ? rowsOf(text).map((end) => ({ line, end: from + end })) : [];
    });
    return this.#pacing.laidOut(speakerIdentity, rows, nowMs);
  }

  #renderTurn({ speakerIdentity, slot, lines }: Turn, slots: number): void {
    const view = this.#views.get(speakerIdentity) ?? this.#newView(speakerIdentity);
    const { segment: last } = lines.at(-1) as Line;
    view.row.style.gridRow = String(slots - slot);
    view.name.className = `name colour-${this.colours.of(speakerOf(last))}`;
    setText(view.name, captionedName(last, this.nameOf));
    const keys = new Set(lines.map(({ segment }) => segmentKey(segment)));
    for (const [key, line] of view.lines) {
      if (keys.has(key)) continue;
      line.remove();
      view.lines.delete(key);
    }
    lines.forEach(({ segment, from }, index) => {
      const line = view.lines.get(segmentKey(segment)) ?? newLine(segment);
      view.lines.set(segmentKey(segment), line);
      if (view.words.children[index] !== line) view.words.insertBefore(line, view.words.children[index] ?? null);
      line.dataset.final = String(segment.isFinal);
      line.dataset.revision = String(segment.revision);
      // The words that decided it are about to go.
      if (from > 0 && line.dir === "auto" && line.textContent !== "") line.dir = getComputedStyle(line).direction;
      setText(line, segment.text.slice(from));
    });
  }

  #newView(identity: string): TurnView {
    const row = element("div", { part: "turn", class: "turn" });
    const name = element("bdi", { part: "name" });
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
    for (const { segment, known } of changesSince(this.#captions, captions)) {
      if (!segment.isFinal || segment.isBacklog || known?.isFinal || segment.text.trim() === "") continue;
      // A correction of what was said before one came.
      if (segment.isCorrected && known === undefined) continue;
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

declare global {
  interface HTMLElementTagNameMap {
    "room-captions": RoomCaptionsElement;
  }
}

// What one can do with the transcript: keep it, search it, copy it, download it, correct it.

import type { Room } from "livekit-client";
import type { NameOf, Segment, Status } from "../captions/index";
import type { Access } from "./access";
import { Announcer } from "./announcer";
import type { TranscriptRules } from "./api";
import { withdrawQuestion } from "./confirmation";
import { transcriptText } from "./copied";
import { byTestId, say } from "./dom";
import { Download } from "./download";
import { KeepSwitch } from "./keeping";
import { KeptLines } from "./kept";
import { matcher } from "./matching";
import type { Notices } from "./notices";
import { codeOf } from "./patience";
import { Privacy } from "./privacy";
import type { Said } from "./said";
import { Search } from "./search";
import { readerWords, transcriptRefusalWords } from "./words";

export interface PanelOptions {
  readonly room: Room;
  readonly access: Access;
  readonly rules: TranscriptRules;
  readonly notices: Notices;
  readonly said: Said;
  readonly nameOf: NameOf;
  /** The server has answered with the state. */
  readonly onStatus: (status: Status) => void;
}

const TRANSCRIBING: ReadonlySet<string> = new Set(["live", "degraded"]);
/** Fewer find nearly everything. */
const SERVER_SEARCH_CHARS = 3;

export class Panel {
  readonly #options: PanelOptions;
  readonly #announcer = new Announcer();
  readonly #privacy: Privacy;
  readonly #keep: KeepSwitch;
  readonly #kept: KeptLines;
  readonly #download: Download;
  readonly #search: Search;
  #areSubtitlesOn = false;
  /** Lines of the record that were read. */
  readonly #ids = new Set<string>();
  #hasEnded = false;

  constructor(options: PanelOptions) {
    this.#options = options;
    const { access, room, rules } = options;
    const onRefused = (code: string): void => this.#refuse(code);
    this.#privacy = new Privacy({ room, access, rules, onRefused, onMe: () => this.#keep.show() });
    this.#keep = new KeepSwitch({
      announcer: this.#announcer,
      isOffered: rules.areEnabled,
      mayKeep: () => this.#privacy.me?.mayKeep ?? access.isRoomAdmin,
      consequences: [
        "From now on each finished sentence is stored on this server, with who said it and when. Sound is not.",
        "Everybody in the meeting is told that it is on, and may stay out of it.",
        ...readerWords(rules),
      ],
      onKeep: (keep) => this.#setKept(keep),
    });
    this.#kept = new KeptLines({ access, onLines: (lines) => this.#store(lines) });
    this.#download = new Download({ access, announcer: this.#announcer, hasRecord: () => this.#hasRecord, onRefused });
    this.#search = new Search({
      toggle: byTestId<HTMLButtonElement>("search-toggle"),
      row: byTestId("search-row"),
      field: byTestId<HTMLInputElement>("search"),
      count: byTestId("search-count"),
      onWords: (words) => void this.#find(words),
    });
    byTestId("copy").onclick = () => void this.#copy();
    this.#show();
  }

  /** In the room, or in it again: something may have been missed. */
  joined(): void {
    this.#privacy.refresh();
    if (this.#options.rules.areEnabled) void this.#kept.read();
  }

  follow({ state, transcript }: Status): void {
    this.#areSubtitlesOn = TRANSCRIBING.has(state);
    this.#keep.follow(transcript);
    const isWatched = !this.#areSubtitlesOn || this.#options.access.isRoomAdmin;
    this.#kept.follow({ isKept: this.#keep.isKept, isWatched });
    this.#show();
  }

  recordChanged(): void {
    this.#kept.readSoon();
  }

  /** Something has been said. */
  captionsChanged(): void {
    if (this.#search.words !== "") this.#search.showFound(this.#options.said.shown.length);
  }

  /** What the record has, and not what was said before it began. */
  mayCorrect({ id }: Segment): boolean {
    return this.#ids.has(id) && this.#options.access.isRoomAdmin;
  }

  /** Resolves to what went wrong, in words, or null. */
  async correct({ id }: Segment, text: string): Promise<string | null> {
    try {
      const line = await this.#options.access.ask((api, room, token) => api.correct(room, token, id, text));
      if (line === null) void this.#kept.read();
      else this.#store([line]);
      this.#announcer.say("Correction saved.");
      return null;
    } catch (error) {
      return transcriptRefusalWords(codeOf(error));
    }
  }

  end(): void {
    this.#hasEnded = true;
    this.#kept.end();
    this.#download.end();
    this.#search.close();
    this.#privacy.end();
    this.#keep.end();
    withdrawQuestion();
    this.#announcer.clear();
  }

  get #hasRecord(): boolean {
    return this.#keep.isKept || this.#ids.size > 0;
  }

  #store(lines: readonly Segment[]): void {
    if (this.#hasEnded) return;
    for (const { id } of lines) this.#ids.add(id);
    this.#options.said.feed.store(lines);
    this.#show();
  }

  #show(): void {
    const { isKept } = this.#keep;
    this.#privacy.follow({ areSubtitlesOn: this.#areSubtitlesOn, isKept, hasLines: this.#ids.size > 0 });
    this.#download.show();
    say(byTestId("transcript-fate"), isKept ? "It is being kept." : "It is gone when you leave.");
  }

  async #setKept(keep: boolean): Promise<void> {
    const { access, notices, onStatus } = this.#options;
    notices.clear("transcript");
    try {
      const status = await access.ask((api, room, token) => api.keepTranscript(room, token, keep));
      if (!this.#hasEnded) onStatus(status);
    } catch (error) {
      this.#refuse(codeOf(error));
    }
  }

  async #find(words: string): Promise<void> {
    const { access, said } = this.#options;
    if (words === "") return said.find(null);
    const isFound = matcher(words);
    said.find(isFound);
    this.#search.showFound(said.shown.length);
    if (!this.#hasRecord || words.length < SERVER_SEARCH_CHARS) return;
    try {
      // Knows other forms of a word, and lines that the page no longer holds.
      const lines = await access.ask((api, room, token) => api.search(room, token, words));
      if (this.#hasEnded || this.#search.words !== words) return;
      this.#store(lines);
      const ids = new Set(lines.map(({ id }) => id));
      said.find((segment, name) => ids.has(segment.id) || isFound(segment, name));
      this.#search.showFound(said.shown.length);
    } catch {
      // What the page holds has been searched.
    }
  }

  async #copy(): Promise<void> {
    const { said, nameOf, notices } = this.#options;
    const { shown } = said;
    if (shown.length === 0) return this.#announcer.tell("There is nothing to copy yet.");
    try {
      await navigator.clipboard.writeText(transcriptText(shown, nameOf));
      this.#announcer.tell(shown.length === 1 ? "1 line copied." : `${shown.length.toLocaleString("en")} lines copied.`);
    } catch {
      notices.show("transcript", "Your browser does not let this page copy. Select the lines, or download them.");
    }
  }

  #refuse(code: string): void {
    if (!this.#hasEnded) this.#options.notices.show("transcript", transcriptRefusalWords(code));
  }
}

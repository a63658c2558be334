// What is said, on the page: the last words over the meeting, all of them in the transcript.

import { CaptionFeed, type NameOf, RoomCaptionsElement, type Segment, SpeakerColours, type Status } from "../captions/index";
import { byTestId } from "./dom";
import { type Corrections, type Finding, Transcript } from "./transcript";
import { markWords } from "./words";

export interface SaidOptions {
  readonly nameOf: NameOf;
  /** What engines are called, by id; the meeting's own is the first. */
  readonly engineNames: ReadonlyMap<string, string>;
  readonly onStatus: (status: Status) => void;
  /** Null: nothing can be corrected. */
  readonly corrections: Corrections | null;
  readonly onCaptions?: () => void;
  readonly onRecordChanged?: () => void;
}

/** `feed` is to be given what the room sends. */
export class Said {
  readonly feed: CaptionFeed;
  readonly colours = new SpeakerColours();
  readonly #overlay = new RoomCaptionsElement();
  readonly #transcript: Transcript;

  constructor({ nameOf, engineNames, corrections, onStatus, onCaptions, onRecordChanged }: SaidOptions) {
    this.#overlay.dataset.testid = "captions";
    this.#overlay.colours = this.colours;
    this.#overlay.nameOf = nameOf;
    // Of this meeting alone: nothing of the last one is left on it.
    byTestId("captions-dock").replaceChildren(this.#overlay);
    this.#transcript = new Transcript({
      pane: byTestId("transcript"),
      list: byTestId("transcript-lines"),
      empty: byTestId("transcript-empty"),
      latest: byTestId<HTMLButtonElement>("transcript-latest"),
      colours: this.colours,
      nameOf,
      engineMark: (engine) => markWords(engine, engineNames),
      corrections,
    });
    this.feed = new CaptionFeed({
      onCaptions: (captions) => {
        this.#overlay.show(captions);
        this.#transcript.show(captions);
        onCaptions?.();
      },
      onStatus,
      onRecordChanged: () => onRecordChanged?.(),
    });
  }

  /** The lines of the transcript that a search leaves, in order. */
  get shown(): readonly Segment[] {
    return this.#transcript.shown;
  }

  /** Leave only what this finds; null: show all again. */
  find(finding: Finding | null): void {
    this.#transcript.find(finding);
  }

  /** Draw again, after a name changed. */
  refresh(): void {
    this.#overlay.refresh();
    this.#transcript.refresh();
  }

  end(): void {
    this.#transcript.end();
  }
}

// One's own part in captions and transcript, what is known of the others', and the record itself.

import type { Room } from "livekit-client";
import type { Access } from "./access";
import type { Me, TranscriptRules, Wish } from "./api";
import { confirmed } from "./confirmation";
import { byTestId, make, say } from "./dom";
import { codeOf } from "./patience";
import { OwnRights } from "./rights";
import { Transcribed } from "./transcribed";
import { captionedWords, nameWords, readerWords, receiptWords } from "./words";

export interface PrivacyOptions {
  readonly room: Room;
  readonly access: Access;
  readonly rules: TranscriptRules;
  readonly onRefused: (code: string) => void;
  /** The server has said what this participant has chosen and may do. */
  readonly onMe: () => void;
}

/** What the page knows of the record. */
export interface RecordState {
  readonly isKept: boolean;
  readonly hasLines: boolean;
}

/** Lies over the transcript while it is shown. */
export class Privacy {
  readonly #options: PrivacyOptions;
  readonly #rights: OwnRights;
  readonly #transcribed: Transcribed;
  readonly #panel = byTestId("privacy");
  /** Where the focus goes back to. */
  #opener: HTMLElement | null = null;
  #hasEnded = false;

  constructor(options: PrivacyOptions) {
    this.#options = options;
    const { access, room, rules, onRefused } = options;
    this.#transcribed = new Transcribed({ room, list: byTestId("transcribed"), summary: byTestId("transcribed-summary") });
    this.#rights = new OwnRights({ access, onChange: (me, isBusy) => this.#showMe(me, isBusy), onRefused });
    byTestId("record").hidden = !rules.areEnabled;
    byTestId("record-readers").replaceChildren(...readerWords(rules).map((text) => make("li", { text })));
    for (const opener of ["privacy-open", "kept-details", "opted-out"]) {
      byTestId(opener).onclick = () => this.#open(byTestId(opener));
    }
    byTestId("privacy-close").onclick = () => this.close();
    this.#panel.onkeydown = ({ key }) => {
      if (key === "Escape") this.close();
    };
    byTestId("caption-me").onclick = () => this.#wish(({ isCaptioned }) => ({ captions: !isCaptioned }));
    byTestId("hide-name").onclick = () => this.#wish(({ isNameHidden }) => ({ name: isNameHidden ? "shown" : "hidden" }));
    byTestId("erase").onclick = () => void this.#erase();
    this.#showMe(null, false);
  }

  get me(): Me | null {
    return this.#rights.me;
  }

  refresh(): void {
    void this.#rights.refresh();
  }

  follow({ areSubtitlesOn, isKept, hasLines }: RecordState & { readonly areSubtitlesOn: boolean }): void {
    this.#transcribed.follow({ areSubtitlesOn });
    say(byTestId("record-state"), recordWords({ isKept, hasLines }));
    byTestId("record-readers").hidden = !isKept && !hasLines;
    byTestId("erase").hidden = !(isKept || hasLines) || !this.#options.access.isRoomAdmin;
  }

  close(): void {
    if (this.#panel.hidden) return;
    this.#show(false);
    this.#opener?.focus();
  }

  end(): void {
    this.#hasEnded = true;
    this.#rights.end();
    this.#show(false);
    say(byTestId("receipt"), "");
  }

  #open(opener: HTMLElement): void {
    this.#opener = opener;
    this.#show(true);
    byTestId("privacy-title").focus();
  }

  #show(isShown: boolean): void {
    this.#panel.hidden = !isShown;
    // What lies below is not to be wandered into.
    byTestId("transcript-panel").inert = isShown;
    byTestId("privacy-open").setAttribute("aria-expanded", String(isShown));
  }

  #wish(wish: (me: Me) => Wish): void {
    if (this.me === null) this.refresh();
    else void this.#rights.change(wish(this.me));
  }

  #showMe(me: Me | null, isBusy: boolean): void {
    const [caption, hide] = [byTestId("caption-me"), byTestId("hide-name")];
    caption.setAttribute("aria-checked", String(me?.isCaptioned ?? true));
    hide.setAttribute("aria-checked", String(me?.isNameHidden ?? false));
    for (const button of [caption, hide]) button.setAttribute("aria-disabled", String(me === null || isBusy));
    say(byTestId("caption-me-state"), me === null ? "The server has not said yet." : captionedWords(me));
    say(byTestId("hide-name-state"), me === null ? "" : nameWords(me));
    byTestId("opted-out").hidden = me?.isCaptioned ?? true;
    this.#transcribed.follow({ amCaptioned: me?.isCaptioned ?? null });
    if (me !== null) this.#options.onMe();
  }

  async #erase(): Promise<void> {
    const isWanted = await confirmed({
      title: "Erase this meeting's transcript?",
      sentences: [
        "All lines that were kept, their corrections and files prepared of them are erased for good. Nobody can bring them back.",
        "What is on people's screens stays there until they leave, and so do files they have downloaded.",
        "The server's log goes on saying that it was erased, when and by whom, without a word of what was said.",
      ],
      action: "Erase for good",
      isDangerous: true,
    });
    if (!isWanted) return;
    try {
      const receipt = await this.#options.access.ask((api, room, token) => api.eraseTranscript(room, token));
      if (!this.#hasEnded) say(byTestId("receipt"), receiptWords(receipt));
    } catch (error) {
      if (!this.#hasEnded) this.#options.onRefused(codeOf(error));
    }
  }
}

function recordWords({ isKept, hasLines }: RecordState): string {
  if (isKept) return "A transcript of this meeting is being kept.";
  return hasLines ? "Part of this meeting was kept. Nothing is being kept now." : "Nothing of this meeting is kept.";
}

// The record as a file, in the formats people use.

import type { Access } from "./access";
import type { Announcer } from "./announcer";
import { type ExportedFile, type Format, FORMATS } from "./api";
import { byTestId } from "./dom";
import { Menu } from "./menu";
import { codeOf } from "./patience";

export interface DownloadOptions {
  readonly access: Access;
  readonly announcer: Announcer;
  /** Whether there is anything to download. */
  readonly hasRecord: () => boolean;
  readonly onRefused: (code: string) => void;
}

const LABELS: Record<Format, string> = {
  vtt: "WebVTT (.vtt)",
  srt: "SubRip (.srt)",
  txt: "Text (.txt)",
  json: "JSON (.json)",
  docx: "Word (.docx)",
};
const FREED_AFTER_MS = 60_000;

export class Download {
  readonly #options: DownloadOptions;
  readonly #button = byTestId<HTMLButtonElement>("download");
  readonly #menu: Menu;
  #isBusy = false;
  #hasEnded = false;

  constructor(options: DownloadOptions) {
    this.#options = options;
    this.#menu = new Menu({
      button: this.#button,
      choices: FORMATS.map((format) => ({ value: format, label: LABELS[format] })),
      isOffered: () => this.#isOffered(),
      onChoice: (format) => void this.#fetch(format as Format),
    });
    this.show();
  }

  show(): void {
    this.#button.setAttribute("aria-disabled", String(!this.#options.hasRecord() || this.#isBusy));
  }

  end(): void {
    this.#hasEnded = true;
    this.#menu.close();
  }

  #isOffered(): boolean {
    const { announcer, hasRecord } = this.#options;
    if (this.#isBusy) announcer.tell("A download is being prepared.");
    else if (!hasRecord()) announcer.tell("Nothing has been kept that could be downloaded. Copy takes what stands here.");
    else return true;
    return false;
  }

  async #fetch(format: Format): Promise<void> {
    const { access, announcer, onRefused } = this.#options;
    this.#isBusy = true;
    this.show();
    announcer.tell("The download is being prepared…");
    try {
      const file = await access.ask((api, room, token) => api.exported(room, token, format));
      if (this.#hasEnded) return;
      save(file);
      announcer.tell(`Downloaded: ${file.name}`);
    } catch (error) {
      if (!this.#hasEnded) onRefused(codeOf(error));
    } finally {
      this.#isBusy = false;
      if (!this.#hasEnded) this.show();
    }
  }
}

function save({ name, content }: ExportedFile): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), FREED_AFTER_MS);
}

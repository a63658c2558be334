// The search field over the transcript: a button shows it, Escape puts it away.

import { say } from "./dom";

export interface SearchOptions {
  readonly toggle: HTMLButtonElement;
  readonly row: HTMLElement;
  readonly field: HTMLInputElement;
  readonly count: HTMLElement;
  /** Empty: no search. */
  readonly onWords: (words: string) => void;
}

/** Until somebody stops typing for a moment. */
const TYPING_MS = 200;

export class Search {
  readonly #options: SearchOptions;
  #words = "";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: SearchOptions) {
    this.#options = options;
    const { toggle, field } = options;
    toggle.onclick = () => (options.row.hidden ? this.#open() : this.close());
    field.oninput = () => this.#typed();
    field.onkeydown = (event) => {
      if (event.key === "Enter") this.#search();
      if (event.key !== "Escape") return;
      event.preventDefault();
      this.close();
      toggle.focus();
    };
    this.close();
  }

  /** What is searched for; empty: nothing. */
  get words(): string {
    return this.#words;
  }

  showFound(lines: number): void {
    say(this.#options.count, this.#words === "" ? "" : foundWords(lines));
  }

  close(): void {
    const { toggle, row, field } = this.#options;
    row.hidden = true;
    field.value = "";
    toggle.setAttribute("aria-expanded", "false");
    this.#search();
  }

  #open(): void {
    const { toggle, row, field } = this.#options;
    row.hidden = false;
    toggle.setAttribute("aria-expanded", "true");
    field.focus();
  }

  #typed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#search(), TYPING_MS);
  }

  #search(): void {
    clearTimeout(this.#timer);
    const words = this.#options.field.value.trim();
    if (words === this.#words) return;
    this.#words = words;
    this.#options.onWords(words);
  }
}

function foundWords(lines: number): string {
  if (lines === 0) return "Nothing found";
  return lines === 1 ? "1 line" : `${lines.toLocaleString("en")} lines`;
}

// Which language is transcribed: offered only where there is more than one.

import { make } from "./dom";
import { languageWords } from "./words";

export interface LanguageChoiceOptions {
  readonly select: HTMLSelectElement;
  /** The first is chosen until somebody chooses another. */
  readonly languages: readonly string[];
  /** Somebody has chosen another one while subtitles run. */
  readonly onChange: (language: string) => void;
}

/** While subtitles run it shows theirs, whoever chose it; before, what this person would start them in. */
export class LanguageChoice {
  /** Whether there is anything to choose. */
  readonly isOffered: boolean;
  readonly #select: HTMLSelectElement;
  #running: string | null = null;

  constructor({ select, languages, onChange }: LanguageChoiceOptions) {
    this.#select = select;
    this.isOffered = languages.length > 1;
    select.replaceChildren(...languages.map(optionOf));
    select.onchange = () => {
      if (this.#running !== null && select.value !== this.#running) onChange(select.value);
    };
  }

  /** What to start in; null: the server's own. */
  get chosen(): string | null {
    return this.isOffered ? this.#select.value : null;
  }

  /** The language of the subtitles that run, or null. */
  follow(running: string | null): void {
    this.#running = running;
    if (running !== null && this.#select.value !== running) this.#select.value = running;
  }
}

function optionOf(language: string): HTMLOptionElement {
  return make("option", { text: languageWords(language), attributes: { value: language } });
}

// Correcting a line where it stands.

import { MAX_TEXT_CHARS } from "../captions/segments";
import { make, say } from "./dom";

export interface CorrectionOptions {
  readonly text: string;
  readonly language: string;
  /** Of whom and when, for screen readers. */
  readonly label: string;
  /** Resolves to what went wrong, or null. */
  readonly save: (text: string) => Promise<string | null>;
  /** Saved or not, it is over. */
  readonly onEnd: (isSaved: boolean) => void;
}

/** A field in place of the line: Enter saves, Escape gives up. */
export class Correction {
  readonly element = make("form", { class: "correction" });
  readonly #options: CorrectionOptions;
  readonly #field: HTMLTextAreaElement;
  readonly #trouble = make("p", { class: "correction-trouble", attributes: { role: "alert" } });
  #isSaving = false;

  constructor(options: CorrectionOptions) {
    this.#options = options;
    const { text, language, label } = options;
    const attributes = { "data-testid": "correction", "aria-label": label, dir: "auto", lang: language, rows: "2" };
    this.#field = make("textarea", { attributes: { ...attributes, maxlength: String(MAX_TEXT_CHARS), enterkeyhint: "done" } });
    this.#field.value = text;
    const save = make("button", { class: "primary", text: "Save", attributes: { "data-testid": "correction-save" } });
    const cancel = make("button", { text: "Cancel", attributes: { type: "button", "data-testid": "correction-cancel" } });
    const buttons = make("p", { class: "correction-buttons" });
    buttons.append(save, cancel);
    this.element.append(this.#field, this.#trouble, buttons);
    this.element.onsubmit = (event) => {
      event.preventDefault();
      void this.#save();
    };
    cancel.onclick = () => options.onEnd(false);
    this.element.onkeydown = (event) => this.#typed(event);
  }

  focus(): void {
    this.#field.focus();
    this.#field.setSelectionRange(this.#field.value.length, this.#field.value.length);
  }

  #typed(event: KeyboardEvent): void {
    // Enter and Escape belong to the input method while it composes a word.
    if (event.isComposing) return;
    if (event.key === "Escape") {
      event.stopPropagation();
      this.#options.onEnd(false);
    } else if (event.key === "Enter" && event.target === this.#field) {
      event.preventDefault();
      void this.#save();
    }
  }

  async #save(): Promise<void> {
    const text = this.#field.value.replace(/\s+/g, " ").trim();
    if (this.#isSaving) return;
    if (text === this.#options.text.trim()) return this.#options.onEnd(false);
    this.#isSaving = true;
    this.element.setAttribute("aria-busy", "true");
    say(this.#trouble, "");
    const trouble = await this.#options.save(text);
    this.#isSaving = false;
    this.element.removeAttribute("aria-busy");
    if (trouble === null) this.#options.onEnd(true);
    else say(this.#trouble, trouble);
  }
}

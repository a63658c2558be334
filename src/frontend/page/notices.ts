// Sentences that want attention, one for each subject.

import { icon, make } from "./dom";

export type Subject = "microphone" | "connection" | "subtitles" | "sample" | "credential" | "transcript";

export class Notices {
  readonly #list: HTMLElement;

  constructor(list: HTMLElement) {
    this.#list = list;
  }

  show(subject: Subject, text: string): void {
    this.clear(subject);
    const notice = make("div", { class: "notice", attributes: { role: "alert", "data-testid": "notice" } });
    notice.dataset.subject = subject;
    const dismiss = make("button", { class: "quiet", attributes: { type: "button", "aria-label": "Dismiss" } });
    dismiss.append(icon("close"));
    dismiss.addEventListener("click", () => notice.remove());
    notice.append(make("p", { text }), dismiss);
    this.#list.append(notice);
  }

  clear(subject: Subject): void {
    this.#list.querySelector(`[data-subject="${subject}"]`)?.remove();
  }

  clearAll(): void {
    this.#list.replaceChildren();
  }
}

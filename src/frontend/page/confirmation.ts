// Asking before something is done that others notice.

import { byTestId, make, say } from "./dom";

export interface Question {
  readonly title: string;
  readonly sentences: readonly string[];
  /** What the button says that does it. */
  readonly action: string;
  readonly isDangerous?: boolean;
}

/** Whether it is wanted. The browser takes the focus into the dialog, keeps it there and brings it back. */
export function confirmed({ title, sentences, action, isDangerous = false }: Question): Promise<boolean> {
  const dialog = byTestId<HTMLDialogElement>("confirmation");
  const accept = byTestId<HTMLButtonElement>("confirm");
  say(byTestId("confirmation-title"), title);
  byTestId("confirmation-text").replaceChildren(...sentences.map((text) => make("li", { text })));
  say(accept, action);
  accept.classList.toggle("danger", isDangerous);
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "confirm"), { once: true });
  });
}

/** The meeting is over: nobody waits for an answer. */
export function withdrawQuestion(): void {
  byTestId<HTMLDialogElement>("confirmation").close();
}

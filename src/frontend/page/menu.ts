// A button that opens a menu, as the ARIA Authoring Practices describe it.

import { make } from "./dom";

export interface Choice {
  readonly value: string;
  readonly label: string;
}

export interface MenuOptions {
  readonly button: HTMLButtonElement;
  readonly choices: readonly Choice[];
  /** Whether it opens; what is done instead when it does not is up to this. */
  readonly isOffered: () => boolean;
  readonly onChoice: (value: string) => void;
}

const GAP_PX = 4;

export class Menu {
  readonly #options: MenuOptions;
  #list: HTMLElement | null = null;

  constructor(options: MenuOptions) {
    this.#options = options;
    const { button } = options;
    button.setAttribute("aria-haspopup", "menu");
    button.setAttribute("aria-expanded", "false");
    button.onclick = () => (this.#list === null ? this.#open(0) : this.close());
    button.onkeydown = (event) => {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      event.preventDefault();
      this.#open(event.key === "ArrowDown" ? 0 : -1);
    };
  }

  close(): void {
    this.#list?.remove();
    this.#list = null;
    this.#options.button.setAttribute("aria-expanded", "false");
    document.removeEventListener("pointerdown", this.#pressed, true);
  }

  #open(focused: number): void {
    const { button, choices, isOffered } = this.#options;
    if (this.#list !== null || !isOffered()) return;
    const label = button.getAttribute("aria-label") ?? "";
    const list = make("div", { class: "menu", attributes: { role: "menu", "aria-label": label } });
    list.append(...choices.map((choice) => this.#item(choice)));
    list.onkeydown = (event) => this.#typed(event);
    list.addEventListener("focusout", ({ relatedTarget }) => {
      if (relatedTarget instanceof Node && !list.contains(relatedTarget) && relatedTarget !== button) this.close();
    });
    this.#list = list;
    button.after(list);
    place(list, button);
    button.setAttribute("aria-expanded", "true");
    document.addEventListener("pointerdown", this.#pressed, true);
    (list.children[(focused + choices.length) % choices.length] as HTMLElement).focus();
  }

  #item({ value, label }: Choice): HTMLButtonElement {
    const item = make("button", { text: label, attributes: { type: "button", role: "menuitem", tabindex: "-1" } });
    item.dataset.value = value;
    item.onclick = () => {
      this.#options.button.focus();
      this.close();
      this.#options.onChoice(value);
    };
    return item;
  }

  #typed(event: KeyboardEvent): void {
    const items = [...(this.#list as HTMLElement).children] as HTMLElement[];
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key] ?? startingWith(items, at, event.key);
    if (event.key === "Escape") {
      event.stopPropagation();
      this.#options.button.focus();
      this.close();
    } else if (to !== null) {
      event.preventDefault();
      items[(to + items.length) % items.length]?.focus();
    }
  }

  readonly #pressed = ({ target }: Event): void => {
    if (!(target instanceof Node) || this.#list?.contains(target) || this.#options.button.contains(target)) return;
    this.close();
  };
}

/** Below the button where there is room; nothing it stands in cuts it off. */
function place(list: HTMLElement, button: HTMLElement): void {
  const { bottom, right } = button.getBoundingClientRect();
  const topPx = Math.min(bottom + GAP_PX, innerHeight - list.offsetHeight - GAP_PX);
  list.style.top = `${Math.max(GAP_PX, topPx)}px`;
  list.style.right = `${Math.max(GAP_PX, document.documentElement.clientWidth - right)}px`;
}

/** The next item after this one whose label begins with what was typed. */
function startingWith(items: readonly HTMLElement[], at: number, key: string): number | null {
  if (key.length !== 1 || key === " ") return null;
  const places = items.map((_, place) => (at + 1 + place) % items.length);
  return places.find((place) => items[place]?.textContent?.toLowerCase().startsWith(key.toLowerCase())) ?? null;
}

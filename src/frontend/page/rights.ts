// One's own choices for this meeting: whether one is captioned, and under which name.

import type { Access } from "./access";
import type { Me, Wish } from "./api";
import { codeOf } from "./patience";

export interface OwnRightsOptions {
  readonly access: Access;
  /** `me` null: not known yet. */
  readonly onChange: (me: Me | null, isBusy: boolean) => void;
  readonly onRefused: (code: string) => void;
}

export class OwnRights {
  me: Me | null = null;
  readonly #options: OwnRightsOptions;
  #isBusy = false;
  #hasEnded = false;

  constructor(options: OwnRightsOptions) {
    this.#options = options;
  }

  /** Chosen in another window, or before: the server remembers for the whole meeting. */
  async refresh(): Promise<void> {
    try {
      const me = await this.#options.access.ask((api, room, token) => api.me(room, token));
      if (!this.#isBusy) this.#take(me);
    } catch {
      // Not known: asked again with the next choice, or when the room is back.
    }
  }

  async change(wish: Wish): Promise<void> {
    if (this.#isBusy) return;
    const { access, onRefused } = this.#options;
    this.#isBusy = true;
    this.#take(this.me);
    let me = this.me;
    try {
      me = await access.ask((api, room, token) => api.changeMe(room, token, wish));
    } catch (error) {
      if (!this.#hasEnded) onRefused(codeOf(error));
    }
    this.#isBusy = false;
    this.#take(me);
  }

  end(): void {
    this.#hasEnded = true;
  }

  #take(me: Me | null): void {
    this.me = me;
    if (!this.#hasEnded) this.#options.onChange(me, this.#isBusy);
  }
}

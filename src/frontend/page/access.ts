// The server's side of one meeting, as this participant may ask for it.

import type { Api } from "./api";
import { type Credential, isRoomAdmin } from "./credential";
import { oncePossible } from "./patience";

export interface AccessOptions {
  readonly api: Api;
  readonly room: string;
  readonly credential: Pick<Credential, "token" | "renewedIfDue">;
}

export class Access {
  readonly #options: AccessOptions;

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  get isRoomAdmin(): boolean {
    return isRoomAdmin(this.#options.credential.token);
  }

  /** With the newest token; right after joining it waits until the server has seen who asks. */
  async ask<T>(question: (api: Api, room: string, token: string) => Promise<T>): Promise<T> {
    const { api, room, credential } = this.#options;
    await credential.renewedIfDue();
    return oncePossible(() => question(api, room, credential.token));
  }
}

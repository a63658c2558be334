// Asking again, where that is of use.

import { ApiError } from "./api";

const STOPPED_TRIES = 4;
/** About five seconds: whoever has just joined is seen by the server a moment later. */
const SEEN_TRIES = 7;
const SEEN_AGAIN_MS = 800;

/** Right after a stop or after joining it is worth waiting a moment. */
export async function oncePossible<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      const waitMs = waitBeforeTrying(error, tries);
      if (waitMs === null) throw error;
      await new Promise((done) => setTimeout(done, waitMs));
    }
  }
}

/** Null where trying again is of no use. */
function waitBeforeTrying(error: unknown, tries: number): number | null {
  switch (codeOf(error)) {
    case "still_stopping":
      return tries < STOPPED_TRIES ? ((error as ApiError).retryAfterS ?? 1) * 1_000 : null;
    case "not_a_participant":
      return tries < SEEN_TRIES ? SEEN_AGAIN_MS : null;
    default:
      return null;
  }
}

export function codeOf(error: unknown): string {
  return error instanceof ApiError ? error.code : "unexpected_answer";
}

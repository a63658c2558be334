// Spoken clips that ship with the page, for whoever has no microphone at hand.

import { hash } from "../captions/speakers";

export interface Sample {
  readonly url: string;
  readonly speaker: string;
  readonly text: string;
}

/** What `samples/index.json` lists; none when it is not there. */
export async function availableSamples(base: string): Promise<Sample[]> {
  const folder = new URL("samples/", base);
  try {
    const answer = await fetch(new URL("index.json", folder));
    const listed: unknown = answer.ok ? await answer.json() : [];
    if (!Array.isArray(listed)) return [];
    return listed
      .filter((entry) => typeof entry?.file === "string")
      .map(({ file, speaker, text }) => ({
        url: new URL(file, folder).href,
        speaker: String(speaker ?? file),
        text: String(text ?? ""),
      }));
  } catch {
    return [];
  }
}

/** The clip an identity speaks with unless it chooses another, so that people differ. */
export function ownSampleIndex(identity: string, count: number): number {
  return count === 0 ? -1 : hash(identity) % count;
}

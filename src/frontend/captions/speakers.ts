// How a speaker is called and coloured: always the same on one screen.

import type { Segment } from "./segments";

export interface Speaker {
  readonly identity: string;
  readonly name: string;
}

const READABLE_IDENTITY_CHARS = 20;

/** The name; without one the identity where people could read it, else "Guest" and the identity's end. */
export function displayName({ identity, name }: Speaker): string {
  const given = name.trim();
  if (given !== "") return given;
  return identity.length <= READABLE_IDENTITY_CHARS ? identity : `Guest ${identity.slice(-4)}`;
}

/** What somebody is called in the room; undefined for whoever was not seen there. */
export type NameOf = (identity: string) => string | undefined;

/**
 * How the speaker of a caption is shown. The room's name wins, because a participant may caption themselves
 * under any name; whoever is not known there cannot pass for somebody who is. Without `nameOf` the caption is
 * taken at its word.
 */
export function captionedName(
  { speakerIdentity: identity, speakerName }: Pick<Segment, "speakerIdentity" | "speakerName">,
  nameOf: NameOf | null,
): string {
  const name = nameOf === null ? speakerName : nameOf(identity);
  if (name !== undefined) return displayName({ identity, name });
  return `${displayName({ identity, name: speakerName })} (not in the room)`;
}

/** How many colours there are; `element.ts` and a page's own style say which. */
export const COLOURS = 8;

const MAX_SPEAKERS = 500;

/** Colours by identity: the one its hash prefers where that is free, else the next that is. */
export class SpeakerColours {
  readonly #taken = new Map<string, number>();

  of(identity: string): number {
    const known = this.#taken.get(identity);
    if (known !== undefined) return known;
    const preferred = hash(identity) % COLOURS;
    const used = new Set(this.#taken.values());
    let colour = preferred;
    if (used.size < COLOURS) while (used.has(colour)) colour = (colour + 1) % COLOURS;
    if (this.#taken.size < MAX_SPEAKERS) this.#taken.set(identity, colour);
    return colour;
  }
}

/** FNV-1a, 32 bits. */
export function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const unit of text) value = Math.imul(value ^ (unit.codePointAt(0) ?? 0), 0x01000193);
  return value >>> 0;
}

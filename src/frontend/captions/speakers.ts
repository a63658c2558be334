// How a speaker is called and coloured: always the same on one screen.

import type { Segment } from "./segments.js";

export interface Speaker {
  readonly identity: string;
  readonly name: string;
}

const READABLE_IDENTITY_CHARS = 20;

/** Whoever hides their name is called so, by the agent and in the record. */
const PSEUDONYM = /^Speaker ([1-9][0-9]{0,5})$/;

export function isPseudonym(name: string): boolean {
  return PSEUDONYM.test(name);
}

/** Whom a segment is by, where speakers are told apart: one who hides their name has one colour in room and record. */
export function speakerOf({ speakerIdentity, speakerName }: Named): string {
  const number = PSEUDONYM.exec(speakerName)?.[1];
  return number === undefined ? speakerIdentity : `speaker-${number}`;
}

/** The name; without one the identity where people could read it, else "Guest" and the identity's end. */
export function displayName({ identity, name }: Speaker): string {
  const given = name.trim();
  if (given !== "") return given;
  return identity.length <= READABLE_IDENTITY_CHARS ? identity : `Guest ${identity.slice(-4)}`;
}

/** What somebody is called in the room; undefined for whoever was not seen there. */
export type NameOf = (identity: string) => string | undefined;

type Named = Pick<Segment, "speakerIdentity" | "speakerName">;

/**
 * How the speaker of a caption is shown. A pseudonym wins: its owner does not want to be named. Then the room's name,
 * because a participant may caption themselves under any; whoever is not known there cannot pass for somebody who is.
 * Without `nameOf` the caption is taken at its word, and so is the record.
 */
export function captionedName(segment: Named & { readonly isStored?: boolean }, nameOf: NameOf | null): string {
  const { speakerIdentity: identity, speakerName, isStored = false } = segment;
  if (isPseudonym(speakerName) || OTHER_PSEUDONYM.test(speakerName)) return speakerName;
  const name = nameOf === null ? speakerName : nameOf(identity);
  if (name !== undefined) return displayName({ identity, name });
  return `${displayName({ identity, name: speakerName })}${isStored ? "" : " (not in the room)"}`;
}

const OTHER_PSEUDONYM = /^Speaker [1-9][0-9]{0,5} \(somebody else\)$/;
const MAX_PSEUDONYMS = 1_000;

/**
 * Who was first heard under each pseudonym. Anybody may caption themselves under one: whoever comes second is told apart
 * from the first, and neither is named.
 */
export class Pseudonyms {
  readonly #owners = new Map<string, string>();

  /** The segment, under a name that nobody else has here. */
  toldApart(segment: Segment): Segment {
    const { speakerIdentity, speakerName } = segment;
    if (!isPseudonym(speakerName)) return segment;
    const owner = this.#owners.get(speakerName) ?? speakerIdentity;
    if (this.#owners.size < MAX_PSEUDONYMS) this.#owners.set(speakerName, owner);
    return owner === speakerIdentity ? segment : { ...segment, speakerName: `${speakerName} (somebody else)` };
  }
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

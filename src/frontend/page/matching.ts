// Which lines a search finds.

import type { Segment } from "../captions/segments";

/** Whether all words stand in the line or its speaker's name, whatever their case and accents. */
export function matcher(words: string): (segment: Pick<Segment, "text">, name: string) => boolean {
  const wanted = folded(words).split(/\s+/).filter(Boolean);
  return ({ text }, name) => {
    const line = folded(`${name} ${text}`);
    return wanted.every((word) => line.includes(word));
  };
}

function folded(text: string): string {
  return text.normalize("NFKD").replace(/\p{M}/gu, "").toLocaleLowerCase();
}

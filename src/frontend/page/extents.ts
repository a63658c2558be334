// Which lines of a long list are near what is in sight. Pure: heights are told, nothing is measured.

/** Height of a line nobody has seen yet, until others tell better. */
const FIRST_GUESS_PX = 56;

export interface Span {
  /** First and one past the last. */
  readonly start: number;
  readonly end: number;
}

/** What to take a line for that was not drawn yet: as high as those that were, on average. */
export function guessedPx(heightsPx: readonly (number | null)[]): number {
  const known = heightsPx.filter((height) => height !== null);
  return known.length === 0 ? FIRST_GUESS_PX : known.reduce((sum, height) => sum + height, 0) / known.length;
}

/** Lines one below the other. */
export class Extents {
  readonly #tops: readonly number[];

  /** Heights in order; null where it has to be guessed. */
  constructor(heightsPx: readonly (number | null)[], guessPx: number) {
    const tops = [0];
    let top = 0;
    for (const height of heightsPx) tops.push((top += height ?? guessPx));
    this.#tops = tops;
  }

  get count(): number {
    return this.#tops.length - 1;
  }

  get heightPx(): number {
    return this.topOf(this.count);
  }

  /** Of the line at this index; of one past the last: the end. */
  topOf(index: number): number {
    return this.#tops[index] as number;
  }

  /** The line at this height; the first or last for one outside. */
  at(px: number): number {
    let [low, high] = [0, Math.max(0, this.count - 1)];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.topOf(middle) <= px) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The lines that show something of this stretch, and so many more on each side. */
  near({ topPx, heightPx, more }: Record<"topPx" | "heightPx" | "more", number>): Span {
    if (this.count === 0) return { start: 0, end: 0 };
    return {
      start: Math.max(0, this.at(topPx) - more),
      end: Math.min(this.count, this.at(topPx + heightPx) + 1 + more),
    };
  }
}

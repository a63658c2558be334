// How a text is broken into rows on the page.

/** Where each of its rows ends, in UTF-16 units; none while it is not laid out. */
export function rowsOf(text: Text): number[] {
  const range = document.createRange();
  const topFrom = (from: number): number | undefined => {
    range.setStart(text, from);
    range.setEnd(text, text.length);
    return range.getClientRects()[0]?.top;
  };
  range.selectNodeContents(text);
  const tops = [...new Set([...range.getClientRects()].map(({ top }) => Math.round(top)))].sort((a, b) => a - b);
  const ends: number[] = [];
  for (const top of tops.slice(1)) {
    // The first place that is not above this row: halved again and again, because places only go down.
    let [above, below] = [ends.at(-1) ?? 0, text.length];
    while (below - above > 1) {
      const middle = (above + below) >> 1;
      if (Math.round(topFrom(middle) ?? top) < top) above = middle;
      else below = middle;
    }
    ends.push(below);
  }
  return tops.length === 0 ? [] : [...ends, text.length];
}

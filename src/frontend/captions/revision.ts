// Where a place in a text is in the text's next revision.

const LETTER = /[\p{L}\p{N}]/u;

/**
 * The place in `after` of what stood at `place` in `before`: words around it may have changed, punctuation and case
 * anywhere. A place at the beginning of a word leads to the beginning of one.
 */
export function movedPlace(before: string, after: string, place: number): number {
  if (place === 0 || after.startsWith(before.slice(0, place))) return Math.min(place, after.length);
  const [was, is] = [lettersOf(before), lettersOf(after)];
  const letter = was.filter(({ at }) => at < place).length;
  let prefix = 0;
  while (prefix < was.length && prefix < is.length && was[prefix]?.letter === is[prefix]?.letter) prefix += 1;
  let suffix = 0;
  const most = Math.min(was.length, is.length) - prefix;
  while (suffix < most && was.at(-1 - suffix)?.letter === is.at(-1 - suffix)?.letter) suffix += 1;
  let moved = letter;
  if (letter > prefix && letter >= was.length - suffix) moved += is.length - was.length;
  else if (letter > prefix) moved = Math.min(letter, is.length - suffix);
  return wordStart(after, is[moved]?.at ?? after.length);
}

function lettersOf(text: string): { letter: string; at: number }[] {
  const letters: { letter: string; at: number }[] = [];
  let at = 0;
  for (const letter of text) {
    if (LETTER.test(letter)) letters.push({ letter: letter.toLowerCase(), at });
    at += letter.length;
  }
  return letters;
}

/** Scripts without spaces have no words here: the place itself. */
function wordStart(text: string, place: number): number {
  const space = text.slice(0, place).search(/\S*$/);
  return space === 0 && place > 0 && !text.includes(" ") ? place : space;
}

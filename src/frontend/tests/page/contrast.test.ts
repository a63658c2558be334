import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { COLOURS } from "../../captions/speakers";
import { COLOURS_ON_DARK } from "../../captions/style";

const css = readFileSync(new URL("../../page/style.css", import.meta.url), "utf8");
const [light, dark] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, rules]) => variables(rules as string)) as [Theme, Theme];

type Theme = Record<string, string>;

function variables(rules: string): Theme {
  return Object.fromEntries([...rules.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map(([, name, value]) => [name, value]));
}

/** WCAG 2.2, relative luminance. */
function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(a: string, b: string): number {
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x) as [number, number];
  return (high + 0.05) / (low + 0.05);
}

const speakers = Array.from({ length: COLOURS }, (_, n) => `speaker-${n}`);

test.each([
  ["light", light],
  ["dark", dark],
])("text of the page can be read in the %s theme", (_, theme) => {
  const pairs = ["ground", "surface"].flatMap((ground) =>
    ["ink", "muted", "accent", "danger", ...speakers].map((ink) => [ink, ground] as const),
  );
  pairs.push(["on-accent", "accent"], ["on-accent", "accent-hover"], ["ink", "warn-ground"], ["ink", "raised"], ["muted", "raised"], ["danger", "raised"]);
  pairs.push(["kept-ink", "kept-ground"], ["surface", "danger"]);
  for (const [ink, ground] of pairs) {
    const [inkColour, groundColour] = [theme[ink], theme[ground]] as [string, string];
    expect(contrast(inkColour, groundColour), `${ink} on ${ground}`).toBeGreaterThanOrEqual(4.5);
  }
  for (const sign of ["live", "busy", "focus", "muted"]) {
    expect(contrast(theme[sign] as string, theme.surface as string), sign).toBeGreaterThanOrEqual(3);
  }
});

test("captions have the strongest contrast, over anything", () => {
  expect(COLOURS_ON_DARK).toHaveLength(COLOURS);
  // #090d12 at 95 % over white.
  for (const colour of ["#ffffff", ...COLOURS_ON_DARK]) expect(contrast(colour, "#15191e"), colour).toBeGreaterThanOrEqual(7);
});

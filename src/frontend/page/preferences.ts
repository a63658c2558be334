// What the browser remembers for its user. Storage may be off or full: then it is forgotten.

export const TEXT_SIZES = ["small", "medium", "large", "largest"] as const;
export type TextSize = (typeof TEXT_SIZES)[number];

const NAME = "roomscribe.name";
const TEXT_SIZE = "roomscribe.text-size";

export function rememberedName(): string {
  return read(NAME) ?? "";
}

export function rememberName(name: string): void {
  write(NAME, name);
}

export function rememberedTextSize(): TextSize {
  return TEXT_SIZES.find((size) => size === read(TEXT_SIZE)) ?? "medium";
}

export function rememberTextSize(size: TextSize): void {
  write(TEXT_SIZE, size);
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function write(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Nothing to do: it lasts as long as the page.
  }
}

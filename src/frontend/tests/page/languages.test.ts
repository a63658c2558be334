// @vitest-environment happy-dom
import { expect, test } from "vitest";
import { LanguageChoice } from "../../page/languages";

function choice(languages: readonly string[]): { choice: LanguageChoice; select: HTMLSelectElement; asked: string[] } {
  const select = document.createElement("select");
  const asked: string[] = [];
  return { choice: new LanguageChoice({ select, languages, onChange: (language) => asked.push(language) }), select, asked };
}

function choose(select: HTMLSelectElement, language: string): void {
  select.value = language;
  select.dispatchEvent(new Event("change"));
}

test("of one language there is nothing to choose, and the server uses its own", () => {
  const { choice: only } = choice(["en"]);
  expect([only.isOffered, only.chosen]).toEqual([false, null]);
});

test("languages are offered by their names, and the first is chosen", () => {
  const { choice: two, select } = choice(["fr", "en"]);
  expect([...select.options].map(({ text }) => text)).toEqual(["French", "English"]);
  expect([two.isOffered, two.chosen]).toEqual([true, "fr"]);
});

test("chosen before subtitles run, it is what they are started in", () => {
  const { choice: two, select, asked } = choice(["en", "fr"]);
  choose(select, "fr");
  expect([two.chosen, asked]).toEqual(["fr", []]);
});

test("chosen while they run, it is asked for at once", () => {
  const { choice: two, select, asked } = choice(["en", "fr"]);
  two.follow("en");
  choose(select, "fr");
  expect(asked).toEqual(["fr"]);
});

test("what somebody else has chosen, or the server has kept, is shown", () => {
  const { choice: two, select, asked } = choice(["en", "fr"]);
  two.follow("fr");
  expect(select.value).toBe("fr");
  choose(select, "en");
  two.follow("fr");
  expect([select.value, asked]).toEqual(["fr", ["en"]]);
});

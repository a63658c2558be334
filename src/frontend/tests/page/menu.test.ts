// @vitest-environment happy-dom
import { beforeEach, expect, test } from "vitest";
import { Correction } from "../../page/correction";
import { Menu } from "../../page/menu";

let button: HTMLButtonElement;
let chosen: string[];
let isOffered: boolean;

beforeEach(() => {
  button = document.createElement("button");
  button.setAttribute("aria-label", "Download");
  document.body.replaceChildren(button);
  [chosen, isOffered] = [[], true];
  const choices = [{ value: "vtt", label: "WebVTT" }, { value: "srt", label: "SubRip" }, { value: "docx", label: "Word" }];
  new Menu({ button, choices, isOffered: () => isOffered, onChoice: (value) => chosen.push(value) });
});

function press(key: string, init: KeyboardEventInit = {}): void {
  document.activeElement?.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...init }));
}

const focused = (): string => document.activeElement?.textContent || document.activeElement?.getAttribute("aria-label") || "";

test("a menu is walked through with the arrow keys and the first letter, and gives the focus back", () => {
  button.focus();
  press("ArrowDown");
  expect([focused(), button.getAttribute("aria-expanded")]).toEqual(["WebVTT", "true"]);
  const walked = ["ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp", "Home", "End", "s"].map((key) => (press(key), focused()));
  expect(walked).toEqual(["SubRip", "Word", "WebVTT", "Word", "WebVTT", "Word", "SubRip"]);
  press("Escape");
  expect([focused(), button.getAttribute("aria-expanded"), document.querySelector("[role=menu]")]).toEqual(["Download", "false", null]);
});

test("what is chosen is done once, with the menu closed and the focus on its button", () => {
  button.click();
  document.querySelectorAll<HTMLElement>("[role=menuitem]")[1]?.click();
  expect([chosen, focused(), document.querySelector("[role=menu]")]).toEqual([["srt"], "Download", null]);
});

test("a menu that is not offered does not open, and one closes when something else is pressed", () => {
  isOffered = false;
  button.click();
  expect(document.querySelector("[role=menu]")).toBeNull();
  isOffered = true;
  button.click();
  document.body.dispatchEvent(new Event("pointerdown", { bubbles: true }));
  expect(document.querySelector("[role=menu]")).toBeNull();
});

function correct(save: (text: string) => Promise<string | null>): { correction: Correction; ended: boolean[]; field: HTMLTextAreaElement } {
  const ended: boolean[] = [];
  const correction = new Correction({ text: "good mourning", language: "en", label: "…", save, onEnd: (isSaved) => ended.push(isSaved) });
  document.body.replaceChildren(correction.element);
  correction.focus();
  return { correction, ended, field: correction.element.querySelector("textarea") as HTMLTextAreaElement };
}

const settled = (): Promise<void> => new Promise((done) => setTimeout(done));

test("Enter saves a correction once, as one line; Enter that ends a word of an input method does not", async () => {
  const saved: string[] = [];
  const { ended, field } = correct(async (text) => (saved.push(text), null));
  field.value = " good\n morning ";
  press("Enter", { isComposing: true });
  expect(saved).toEqual([]);
  press("Enter");
  press("Enter");
  await settled();
  expect([saved, ended]).toEqual([["good morning"], [true]]);
});

test("Escape gives a correction up, and one that changes nothing is not sent", async () => {
  const saved: string[] = [];
  const { ended } = correct(async (text) => (saved.push(text), null));
  press("Escape");
  press("Enter");
  await settled();
  expect([saved, ended]).toEqual([[], [false, false]]);
});

test("a correction that is refused stays, with what went wrong", async () => {
  const { correction, ended, field } = correct(async () => "The server cannot be reached.");
  field.value = "good morning";
  press("Enter");
  await settled();
  expect([correction.element.querySelector("[role=alert]")?.textContent, field.value, ended]).toEqual(["The server cannot be reached.", "good morning", []]);
});

// The view of a meeting without a room: whoever drives the browser says what the room sends.

import "../../page/style.css";
import { defineRoomCaptions, type Message, type Segment, type Status } from "../../captions/index";
import { byTestId, say } from "../../page/dom";
import { Said } from "../../page/said";
import { stateWords } from "../../page/words";

const NAMES = new Map([
  ["voxtral", "Voxtral"],
  ["embedded", "basic offline recogniser"],
]);

/** How long one message took. */
interface Took {
  /** Until its text stood in the page. */
  readonly textMs: number;
  /** Until the frame after that had been handed to the screen. */
  readonly frameMs: number;
}

defineRoomCaptions();
for (const part of ["meeting-view", "meeting-bar"]) byTestId(part).hidden = false;
byTestId("join-view").hidden = true;
byTestId("meeting-view").classList.add("captioned");
document.body.classList.add("in-meeting");
say(byTestId("room-name"), "stage");

// As for a room admin, who has a button more on each line.
const corrections = { isOffered: ({ isFinal }: Segment) => isFinal, save: async () => null };
const said = new Said({ nameOf: (identity) => identity, engineNames: NAMES, corrections, onStatus: showStatus });

function showStatus(status: Status): void {
  byTestId("state").dataset.state = status.state;
  say(byTestId("state"), stateWords(status, NAMES));
}

function receive(messages: readonly Message[]): void {
  for (const message of messages) said.feed.receive(message);
}

function frame(): Promise<void> {
  return new Promise((done) => requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => done();
    port2.postMessage(null);
  }));
}

/** Each message at its time; the text is looked for where people read it. `plantedMs` makes it late. */
async function timed(messages: readonly Message[], everyMs: number, plantedMs: number): Promise<Took[]> {
  const took: Took[] = [];
  const startMs = performance.now();
  for (const [index, message] of messages.entries()) {
    await new Promise((due) => setTimeout(due, startMs + index * everyMs - performance.now()));
    const receivedMs = performance.now();
    said.feed.receive(message);
    while (performance.now() - receivedMs < plantedMs) continue;
    if (!isInThePage(message.text)) throw new Error("a message is not in the page");
    const textMs = performance.now() - receivedMs;
    await frame();
    took.push({ textMs, frameMs: performance.now() - receivedMs });
  }
  return took;
}

/** In the transcript where its end is looked at. */
function isInThePage(text: string): boolean {
  if (!byTestId("transcript-latest").hidden) return true;
  const lines = [...document.querySelectorAll("[data-testid=transcript-line] p")];
  return lines.some(({ textContent }) => textContent === text);
}

/** Elements and texts. */
function nodesOf(root: Node): number {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  let nodes = 0;
  while (walker.nextNode() !== null) nodes += 1;
  return nodes;
}

Object.assign(window, { stage: { receive, timed, nodesOf } });

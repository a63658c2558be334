// The meeting page: the join form, and the meeting it leads to.

import "./style.css";
import { LogLevel, setLogLevel } from "livekit-client";
import { defineRoomCaptions } from "../captions/index";
import { Api, ApiError, type Config } from "./api";
import { byTestId, say } from "./dom";
import { Meeting } from "./meeting";
import { Notices } from "./notices";
import {
  rememberedName,
  rememberedTextSize,
  rememberName,
  rememberTextSize,
  type TextSize,
} from "./preferences";
import { availableSamples } from "./samples";
import { CONNECTION_WORDS, refusalWords } from "./words";

const DEFAULT_CONFIG: Config = {
  areSubtitlesEnabled: true,
  handsOutConnections: true,
  engineNames: new Map(),
  languages: [],
  transcripts: { areEnabled: true, readers: null, retentionDays: null },
};

const api = new Api({ baseUrl: document.querySelector<HTMLMetaElement>('meta[name="roomscribe-api"]')?.content ?? "" });
const form = byTestId<HTMLFormElement>("join-form");
const nameInput = byTestId<HTMLInputElement>("name");
const roomInput = byTestId<HTMLInputElement>("room");
const joinButton = byTestId<HTMLButtonElement>("join");
const joinError = byTestId("join-error");
const notices = new Notices(byTestId("notices"));

async function join(): Promise<void> {
  const roomName = roomInput.value.trim();
  const participantName = nameInput.value.trim();
  rememberName(participantName);
  showJoining(true);
  try {
    await enter(roomName, participantName);
    say(joinError, "");
  } catch (error) {
    showMeeting(null);
    say(joinError, error instanceof ApiError ? refusalWords(error.code) : CONNECTION_WORDS);
  }
  showJoining(false);
}

async function enter(roomName: string, participantName: string): Promise<void> {
  const [details, config, samples] = await Promise.all([
    api.connectionDetails({ roomName, participantName }),
    api.config().catch(() => DEFAULT_CONFIG),
    availableSamples(document.baseURI),
  ]);
  notices.clearAll();
  const meeting = new Meeting({ api, details, config, samples, notices, onEnd: showEnd });
  // The view first: what the room sends at once is then drawn where it can be seen.
  showMeeting(details.roomName);
  await meeting.join();
}

function showEnd(why: string | null): void {
  showMeeting(null);
  say(joinError, why ?? "");
  say(byTestId("join-note"), why === null ? "You have left the meeting." : "");
}

function showJoining(isJoining: boolean): void {
  joinButton.setAttribute("aria-disabled", String(isJoining));
  form.setAttribute("aria-busy", String(isJoining));
  say(byTestId("join-label"), isJoining ? "Joining…" : "Join");
}

/** The meeting in this room, or the join form. */
function showMeeting(room: string | null): void {
  const isIn = room !== null;
  byTestId("join-view").hidden = isIn;
  byTestId("meeting-view").hidden = !isIn;
  byTestId("meeting-bar").hidden = !isIn;
  document.body.classList.toggle("in-meeting", isIn);
  document.title = isIn ? `${room} · Roomscribe` : "Roomscribe";
  if (!isIn) {
    notices.clearAll();
    roomInput.focus();
    return;
  }
  const heading = byTestId("room-name");
  say(heading, room);
  heading.focus();
  say(byTestId("join-note"), "");
  // The address is now an invitation: it names the room and nobody.
  const address = new URL(location.href);
  address.search = new URLSearchParams({ room }).toString();
  history.replaceState(null, "", address);
}

function offerTextSize(): void {
  const choice = byTestId<HTMLSelectElement>("text-size");
  choice.value = rememberedTextSize();
  document.documentElement.dataset.textSize = choice.value;
  choice.addEventListener("change", () => {
    document.documentElement.dataset.textSize = choice.value;
    rememberTextSize(choice.value as TextSize);
  });
}

function prefill(): void {
  const parameters = new URLSearchParams(location.search);
  nameInput.value = parameters.get("name") ?? rememberedName();
  roomInput.value = parameters.get("room") ?? "";
  (roomInput.value === "" ? roomInput : nameInput).focus();
}

async function warnIfClosed(): Promise<void> {
  const config = await api.config().catch(() => DEFAULT_CONFIG);
  if (!config.handsOutConnections) say(joinError, refusalWords("connection_details_off"));
}

// Its messages name room and participant.
setLogLevel(LogLevel.silent);
defineRoomCaptions();
offerTextSize();
prefill();
void warnIfClosed();
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (joinButton.getAttribute("aria-disabled") !== "true") void join();
});

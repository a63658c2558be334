// Who is being transcribed, as far as that is anybody's business: what others have chosen is theirs.

import { type Participant, ParticipantKind, type Room, Track } from "livekit-client";
import { displayName } from "../captions/index";
import { make, say } from "./dom";
import { PARTICIPANT_CHANGES } from "./participants";

export interface TranscribedOptions {
  readonly room: Room;
  readonly list: HTMLElement;
  readonly summary: HTMLElement;
}

/** What it depends on besides the room. */
interface Known {
  readonly areSubtitlesOn: boolean;
  /** Null: not known yet. */
  readonly amCaptioned: boolean | null;
}

/** Kinds that no agent subscribes to. */
const UNHEARD: ReadonlySet<ParticipantKind> = new Set([ParticipantKind.AGENT, ParticipantKind.EGRESS]);

export class Transcribed {
  readonly #options: TranscribedOptions;
  readonly #rows = new Map<string, { readonly item: HTMLElement; readonly name: HTMLElement; readonly state: HTMLElement }>();
  #known: Known = { areSubtitlesOn: false, amCaptioned: null };
  #isPending = false;

  constructor(options: TranscribedOptions) {
    this.#options = options;
    options.list.replaceChildren();
    for (const change of PARTICIPANT_CHANGES) options.room.on(change, () => this.#renderSoon());
    this.#renderSoon();
  }

  follow(known: Partial<Known>): void {
    this.#known = { ...this.#known, ...known };
    this.#renderSoon();
  }

  #renderSoon(): void {
    if (this.#isPending) return;
    this.#isPending = true;
    queueMicrotask(() => {
      this.#isPending = false;
      this.#render();
    });
  }

  #render(): void {
    const { room, list, summary } = this.#options;
    say(summary, summaryWords(this.#known));
    const others = [...room.remoteParticipants.values()].filter((person) => hasMicrophone(person) && !UNHEARD.has(person.kind));
    const people = [room.localParticipant, ...others];
    const here = new Set(people.map(({ identity }) => identity));
    for (const [identity, { item }] of this.#rows) {
      if (here.has(identity)) continue;
      item.remove();
      this.#rows.delete(identity);
    }
    people.forEach((person, index) => {
      const row = this.#rows.get(person.identity) ?? this.#newRow(person);
      if (list.children[index] !== row.item) list.insertBefore(row.item, list.children[index] ?? null);
      say(row.name, displayName({ identity: person.identity, name: person.name ?? "" }));
      say(row.state, person.isLocal ? ownWords(person, this.#known) : othersWords(person));
    });
  }

  #newRow(person: Participant): { readonly item: HTMLElement; readonly name: HTMLElement; readonly state: HTMLElement } {
    const item = make("li", { attributes: { "data-testid": "transcribed-person" } });
    item.dataset.identity = person.identity;
    const who = make("span", { class: "transcribed-name" });
    const name = make("bdi");
    who.append(name);
    if (person.isLocal) who.append(make("span", { class: "you", text: " (you)" }));
    const state = make("span", { class: "transcribed-state" });
    item.append(who, state);
    const row = { item, name, state };
    this.#rows.set(person.identity, row);
    return row;
  }
}

function summaryWords({ areSubtitlesOn }: Known): string {
  if (!areSubtitlesOn) return "Subtitles are off: nobody is being transcribed now.";
  return "Whoever has a microphone is transcribed, unless they have chosen not to be. Others are not told what anybody has chosen.";
}

function ownWords(person: Participant, { areSubtitlesOn, amCaptioned }: Known): string {
  if (amCaptioned === false) return "Not transcribed: you have opted out";
  if (!hasMicrophone(person)) return "No microphone";
  if (isMuted(person)) return "Muted";
  if (!areSubtitlesOn || amCaptioned === null) return "Microphone on";
  return "Transcribed";
}

function othersWords(person: Participant): string {
  if (isMuted(person)) return "Muted";
  return person.isSpeaking ? "Speaking" : "Microphone on";
}

function hasMicrophone(person: Participant): boolean {
  return person.getTrackPublication(Track.Source.Microphone) !== undefined;
}

function isMuted(person: Participant): boolean {
  return person.getTrackPublication(Track.Source.Microphone)?.isMuted ?? true;
}

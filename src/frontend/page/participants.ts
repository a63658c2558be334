// Who is here, who speaks, who is muted.

import { type Participant, type Room, RoomEvent, Track } from "livekit-client";
import { displayName, type SpeakerColours } from "../captions/index";
import { icon, make, say } from "./dom";

/** After any of these the people are, or look, different. */
export const PARTICIPANT_CHANGES = [
  RoomEvent.Connected,
  RoomEvent.ParticipantConnected,
  RoomEvent.ParticipantDisconnected,
  RoomEvent.ParticipantNameChanged,
  RoomEvent.ActiveSpeakersChanged,
  RoomEvent.TrackPublished,
  RoomEvent.TrackUnpublished,
  RoomEvent.TrackMuted,
  RoomEvent.TrackUnmuted,
  RoomEvent.LocalTrackPublished,
  RoomEvent.LocalTrackUnpublished,
] as const;

interface Tile {
  readonly item: HTMLLIElement;
  readonly avatar: HTMLElement;
  readonly name: HTMLElement;
  readonly sound: HTMLElement;
}

export class Participants {
  readonly #room: Room;
  readonly #list: HTMLElement;
  readonly #count: HTMLElement;
  readonly #colours: SpeakerColours;
  readonly #tiles = new Map<string, Tile>();
  #isPending = false;

  constructor(options: { room: Room; list: HTMLElement; count: HTMLElement; colours: SpeakerColours }) {
    this.#room = options.room;
    this.#list = options.list;
    this.#count = options.count;
    this.#colours = options.colours;
    this.#list.replaceChildren();
    for (const change of PARTICIPANT_CHANGES) this.#room.on(change, this.#renderSoon);
  }

  readonly #renderSoon = (): void => {
    if (this.#isPending) return;
    this.#isPending = true;
    queueMicrotask(() => {
      this.#isPending = false;
      this.#render();
    });
  };

  #render(): void {
    const people = [this.#room.localParticipant, ...this.#room.remoteParticipants.values()];
    const here = new Set(people.map(({ identity }) => identity));
    for (const [identity, { item }] of this.#tiles) {
      if (here.has(identity)) continue;
      item.remove();
      this.#tiles.delete(identity);
    }
    people.forEach((person, index) => {
      const tile = this.#tiles.get(person.identity) ?? this.#newTile(person);
      if (this.#list.children[index] !== tile.item) {
        this.#list.insertBefore(tile.item, this.#list.children[index] ?? null);
      }
      this.#update(tile, person);
    });
    say(this.#count, people.length === 1 ? "1 person" : `${people.length} people`);
  }

  #newTile(person: Participant): Tile {
    const item = make("li", { class: "person", attributes: { "data-testid": "participant" } });
    item.dataset.identity = person.identity;
    item.classList.add(`speaker-${this.#colours.of(person.identity)}`);
    const avatar = make("span", { class: "avatar", attributes: { "aria-hidden": "true" } });
    const name = make("bdi", { class: "person-name" });
    const sound = make("span", { class: "person-sound" });
    const label = make("span", { class: "person-label" });
    label.append(name);
    if (person.isLocal) label.append(make("span", { class: "you", text: " (you)" }));
    item.append(avatar, label, sound);
    const tile = { item, avatar, name, sound };
    this.#tiles.set(person.identity, tile);
    return tile;
  }

  #update({ item, avatar, name, sound }: Tile, person: Participant): void {
    const called = displayName({ identity: person.identity, name: person.name ?? "" });
    const isMuted = person.getTrackPublication(Track.Source.Microphone)?.isMuted ?? true;
    const isSpeaking = person.isSpeaking && !isMuted;
    say(name, called);
    say(avatar, initial(called));
    item.dataset.muted = String(isMuted);
    item.dataset.speaking = String(isSpeaking);
    const words = isMuted ? "Muted" : isSpeaking ? "Speaking" : "";
    if (sound.dataset.words === words) return;
    sound.dataset.words = words;
    sound.replaceChildren();
    if (words === "") return;
    sound.append(icon(isMuted ? "mic-off" : "speaking"), make("span", { class: "visually-hidden", text: words }));
  }
}

/** The first character as people count them. */
function initial(name: string): string {
  const [first] = new Intl.Segmenter().segment(name);
  return first?.segment.toLocaleUpperCase() ?? "";
}

// One meeting, from joining to leaving: connects the room with what is on the page.

import { DisconnectReason, type RemoteTrackPublication, Room, RoomEvent, Track } from "livekit-client";
import { attachFeed, namesIn, type Status } from "../captions/index";
import { Access } from "./access";
import type { Api, Config, ConnectionDetails } from "./api";
import { Credential } from "./credential";
import { byTestId, say } from "./dom";
import { LanguageChoice } from "./languages";
import { Microphone } from "./microphone";
import type { Notices } from "./notices";
import { Panel } from "./panel";
import { Participants } from "./participants";
import { Said } from "./said";
import { ownSampleIndex, type Sample } from "./samples";
import { type Busy, Subtitles } from "./subtitles";
import { engineWords, languageWords, microphoneWords, refusalWords, stateWords } from "./words";

export interface MeetingOptions {
  readonly api: Api;
  readonly details: ConnectionDetails;
  readonly config: Config;
  readonly samples: readonly Sample[];
  readonly notices: Notices;
  /** Called once, with a sentence unless the participant chose to leave. */
  readonly onEnd: (why: string | null) => void;
}

const view = {
  state: () => byTestId("state"),
  engine: () => byTestId("engine"),
  start: () => byTestId<HTMLButtonElement>("start-subtitles"),
  stop: () => byTestId<HTMLButtonElement>("stop-subtitles"),
  mute: () => byTestId<HTMLButtonElement>("mute"),
  playSample: () => byTestId<HTMLButtonElement>("play-sample"),
  sampleVoice: () => byTestId<HTMLSelectElement>("sample-voice"),
  startAudio: () => byTestId<HTMLButtonElement>("start-audio"),
  leave: () => byTestId<HTMLButtonElement>("leave"),
};

export class Meeting {
  readonly #options: MeetingOptions;
  readonly #room = new Room({ stopLocalTrackOnUnpublish: true });
  readonly #microphone: Microphone;
  readonly #credential: Credential;
  readonly #subtitles: Subtitles;
  readonly #said: Said;
  readonly #panel: Panel;
  readonly #language: LanguageChoice;
  readonly #sounds = byTestId("remote-audio");
  readonly #detachCaptions: () => void;
  #hasEnded = false;

  constructor(options: MeetingOptions) {
    const { api, details } = options;
    this.#options = options;
    this.#credential = new Credential(details.participantToken, {
      renew: (token) => api.renewedToken(token),
      onRefused: () => options.notices.show("credential", refusalWords("token_refused")),
    });
    this.#microphone = new Microphone(this.#room.localParticipant, () => this.#showMicrophone());
    this.#subtitles = new Subtitles({
      room: details.roomName,
      api,
      credential: this.#credential,
      listener: {
        onState: (status, busy, trouble) => {
          if (status !== null) {
            this.#said.feed.follow(status.state);
            this.#panel.follow(status);
          }
          this.#showState(status, busy, trouble);
        },
        onRefused: (code) => options.notices.show("subtitles", refusalWords(code)),
      },
    });

    this.#language = new LanguageChoice({
      select: byTestId<HTMLSelectElement>("language"),
      languages: options.config.languages,
      onChange: (language) => {
        options.notices.clear("subtitles");
        void this.#subtitles.changeLanguage(language);
      },
    });
    byTestId("language-choice").hidden = !this.#language.isOffered;

    const nameOf = namesIn(this.#room);
    this.#said = new Said({
      nameOf,
      engineNames: options.config.engineNames,
      corrections: {
        isOffered: (segment) => this.#panel?.mayCorrect(segment) ?? false,
        save: (segment, text) => this.#panel.correct(segment, text),
      },
      onStatus: (status) => this.#subtitles.hear(status),
      onCaptions: () => this.#panel.captionsChanged(),
      onRecordChanged: () => this.#panel.recordChanged(),
    });
    this.#panel = new Panel({
      room: this.#room,
      access: new Access({ api, room: details.roomName, credential: this.#credential }),
      rules: options.config.transcripts,
      notices: options.notices,
      said: this.#said,
      nameOf,
      onStatus: (status) => this.#subtitles.hear(status),
    });
    new Participants({
      room: this.#room,
      list: byTestId("participants"),
      count: byTestId("participant-count"),
      colours: this.#said.colours,
    });
    this.#detachCaptions = attachFeed(this.#room, this.#said.feed);
    this.#listen();
    this.#offerControls();
  }

  /** Rejects when the room cannot be reached. */
  async join(): Promise<void> {
    const { serverUrl, participantToken } = this.#options.details;
    try {
      await this.#room.connect(serverUrl, participantToken, { autoSubscribe: false });
    } catch (error) {
      this.#end();
      throw error;
    }
    for (const person of this.#room.remoteParticipants.values()) {
      for (const publication of person.trackPublications.values()) hear(publication);
    }
    this.#showSamples();
    void this.#subtitles.refresh();
    this.#panel.joined();
    // Not waited for: the browser may ask, and people may take their time.
    void this.#openMicrophone();
  }

  #listen(): void {
    const { notices } = this.#options;
    const onNames = (): void => this.#said.refresh();
    this.#room
      .on(RoomEvent.TrackPublished, hear)
      .on(RoomEvent.TrackSubscribed, (track) => {
        if (track.kind === Track.Kind.Audio) this.#sounds.append(track.attach());
      })
      .on(RoomEvent.TrackUnsubscribed, (track) => {
        for (const sound of track.detach()) sound.remove();
      })
      .on(RoomEvent.AudioPlaybackStatusChanged, () => this.#showPlayback())
      .on(RoomEvent.ParticipantConnected, onNames)
      .on(RoomEvent.ParticipantNameChanged, onNames)
      .on(RoomEvent.LocalTrackPublished, () => this.#showMicrophone())
      .on(RoomEvent.LocalTrackUnpublished, () => this.#showMicrophone())
      .on(RoomEvent.TrackMuted, () => this.#showMicrophone())
      .on(RoomEvent.TrackUnmuted, () => this.#showMicrophone())
      .on(RoomEvent.Reconnecting, () => notices.show("connection", "The connection was lost. Reconnecting…"))
      .on(RoomEvent.Reconnected, () => {
        notices.clear("connection");
        void this.#credential.renewedIfDue().then(() => this.#subtitles.refresh());
        this.#panel.joined();
      })
      .on(RoomEvent.Disconnected, (reason) => this.#leave(endWords(reason)));
    document.addEventListener("visibilitychange", this.#returned);
    addEventListener("pageshow", this.#returned);
    addEventListener("online", this.#returned);
  }

  /** Timers may have stood still, or the network been away. */
  readonly #returned = (): void => {
    if (document.hidden) return;
    void this.#credential.renewedIfDue();
    this.#panel.joined();
  };

  #offerControls(): void {
    const { notices } = this.#options;
    view.start().onclick = () => {
      notices.clear("subtitles");
      void this.#subtitles.start(this.#language.chosen);
    };
    view.stop().onclick = () => {
      notices.clear("subtitles");
      void this.#subtitles.stop();
    };
    view.mute().onclick = () => void this.#toggleMicrophone();
    view.playSample().onclick = () => void this.#toggleSample();
    // Refused again, the button simply stays.
    view.startAudio().onclick = () => void this.#room.startAudio().catch(() => {});
    view.leave().onclick = () => void this.#room.disconnect();
    this.#showMicrophone();
    this.#showState(null, null, null);
    this.#showPlayback();
  }

  async #openMicrophone(): Promise<void> {
    try {
      await this.#microphone.open();
      this.#options.notices.clear("microphone");
    } catch (error) {
      this.#refuseMicrophone(error);
    }
  }

  async #toggleMicrophone(): Promise<void> {
    try {
      await this.#microphone.toggle();
      this.#options.notices.clear("microphone");
    } catch (error) {
      this.#refuseMicrophone(error);
    }
  }

  #refuseMicrophone(error: unknown): void {
    if (this.#hasEnded) return;
    const errorName = error instanceof Error ? error.name : "";
    this.#options.notices.show("microphone", microphoneWords(errorName, window.isSecureContext));
    this.#showMicrophone();
  }

  async #toggleSample(): Promise<void> {
    if (this.#microphone.isPlayingSample) return this.#microphone.stopSample();
    const sample = this.#options.samples[view.sampleVoice().selectedIndex];
    if (sample === undefined) return;
    this.#options.notices.clear("sample");
    try {
      await this.#microphone.playSample(sample.url);
    } catch {
      if (!this.#hasEnded) this.#options.notices.show("sample", "The sample could not be played. Try another one.");
    }
  }

  #showSamples(): void {
    const { samples } = this.#options;
    const choice = view.sampleVoice();
    choice.replaceChildren(...samples.map(({ speaker }) => new Option(speaker)));
    choice.selectedIndex = ownSampleIndex(this.#room.localParticipant.identity, samples.length);
    byTestId("sample").hidden = samples.length === 0;
  }

  #showMicrophone(): void {
    const mute = view.mute();
    const { isMuted, isPlayingSample } = this.#microphone;
    mute.dataset.muted = String(isMuted);
    say(byTestId("mute-label"), isMuted ? "Unmute" : "Mute");
    const play = view.playSample();
    play.dataset.playing = String(isPlayingSample);
    say(byTestId("play-sample-label"), isPlayingSample ? "Stop sample" : "Play sample speech");
    view.sampleVoice().disabled = isPlayingSample;
  }

  #showPlayback(): void {
    view.startAudio().hidden = this.#room.canPlaybackAudio;
  }

  #showState(status: Status | null, busy: Busy, trouble: string | null): void {
    const { config } = this.#options;
    const line = view.state();
    line.dataset.state = status?.state ?? "unknown";
    const isRunning = status !== null && status.state !== "idle" && status.state !== "failed";
    say(line, this.#stateSentence(status, trouble));
    const engine = view.engine();
    engine.hidden = !isRunning;
    if (isRunning) {
      say(engine, `${engineWords(status.engine, config.engineNames)}, ${languageWords(status.language)}`);
      engine.dataset.engine = status.engine;
    }
    if (busy === null) this.#language.follow(isRunning ? status.language : null);
    byTestId("meeting-view").classList.toggle("captioned", isRunning);
    const isStopping = busy === "stopping" || status?.state === "stopping";
    const [start, stop] = [view.start(), view.stop()];
    const focused = document.activeElement;
    offer(start, { isOffered: !isRunning, isDisabled: busy !== null || !config.areSubtitlesEnabled });
    offer(stop, { isOffered: isRunning, isDisabled: busy !== null || isStopping });
    // Whoever stands on the one that goes is not left standing nowhere.
    if (focused === start && isRunning) stop.focus();
    if (focused === stop && !isRunning) start.focus();
    say(byTestId("start-label"), busy === "starting" ? "Starting…" : "Start subtitles");
    say(byTestId("stop-label"), isStopping ? "Stopping…" : "Stop subtitles");
  }

  #stateSentence(status: Status | null, trouble: string | null): string {
    if (trouble !== null) return refusalWords(trouble);
    if (status === null) return "Asking about subtitles…";
    if (status.state === "idle" && !this.#options.config.areSubtitlesEnabled) return refusalWords("subtitles_off");
    return stateWords(status, this.#options.config.engineNames);
  }

  #leave(why: string | null): void {
    if (this.#hasEnded) return;
    this.#end();
    this.#options.onEnd(why);
  }

  #end(): void {
    this.#hasEnded = true;
    document.removeEventListener("visibilitychange", this.#returned);
    removeEventListener("pageshow", this.#returned);
    removeEventListener("online", this.#returned);
    this.#microphone.end();
    this.#credential.end();
    this.#subtitles.end();
    this.#detachCaptions();
    this.#panel.end();
    this.#said.end();
    this.#sounds.replaceChildren();
  }
}

/** The page shows no pictures, so only sound is asked for. */
function hear(publication: RemoteTrackPublication): void {
  if (publication.kind === Track.Kind.Audio) publication.setSubscribed(true);
}

function offer(button: HTMLButtonElement, { isOffered, isDisabled }: Record<"isOffered" | "isDisabled", boolean>): void {
  button.hidden = !isOffered;
  // Not `disabled`, which would take the focus from whoever has just pressed it.
  button.setAttribute("aria-disabled", String(isDisabled));
}

function endWords(reason: DisconnectReason | undefined): string | null {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return null;
    case DisconnectReason.DUPLICATE_IDENTITY:
      return "You joined from another window, so this one has left.";
    case DisconnectReason.PARTICIPANT_REMOVED:
      return "You were removed from the meeting.";
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return "The meeting has been closed.";
    default:
      return "The connection was lost and could not be restored. Check your network and join again.";
  }
}

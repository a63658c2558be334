// What this participant is heard with: the microphone, a sample clip in its place, or nothing.

import { type LocalParticipant, type LocalTrackPublication, ParticipantEvent, Track } from "livekit-client";

/** Until somebody listens, and then until they decode: what is said before that is lost. */
const LISTENER_TIMEOUT_MS = 1_500;
const LEAD_IN_MS = 700;
/** Silence behind the last word, for whoever waits for one to end a sentence. */
const TAIL_MS = 1_500;

export class Microphone {
  readonly #participant: LocalParticipant;
  readonly #onChange: () => void;
  #sample: { readonly track: MediaStreamTrack; readonly stop: () => void } | null = null;
  #isStarting = false;
  #hasEnded = false;

  constructor(participant: LocalParticipant, onChange: () => void) {
    this.#participant = participant;
    this.#onChange = onChange;
  }

  get isPlayingSample(): boolean {
    return this.#sample !== null || this.#isStarting;
  }

  /** Whether others hear nothing. */
  get isMuted(): boolean {
    return this.#publication?.isMuted ?? true;
  }

  /** Rejects with the browser's error when it may not or cannot open one. */
  async open(): Promise<void> {
    await this.#participant.setMicrophoneEnabled(true);
    this.#onChange();
  }

  async toggle(): Promise<void> {
    const publication = this.#publication;
    if (publication === undefined) await this.open();
    else if (publication.isMuted) await publication.unmute();
    else await publication.mute();
    this.#onChange();
  }

  /** Say a clip instead of the microphone; resolves when it is over. */
  async playSample(url: string): Promise<void> {
    if (this.isPlayingSample) return;
    this.#isStarting = true;
    this.#onChange();
    const interrupted = this.#publication;
    let isSilent = interrupted?.isMuted ?? true;
    const audio = new AudioContext();
    try {
      const clip = await decoded(url, audio);
      isSilent = interrupted?.isMuted ?? true;
      if (interrupted?.track) await this.#participant.unpublishTrack(interrupted.track);
      const wasMutedMeanwhile = await this.#say(clip, audio);
      isSilent ||= wasMutedMeanwhile;
    } finally {
      await audio.close();
      this.#sample = null;
      this.#isStarting = false;
      this.#onChange();
      // Whoever was silent stays unpublished until Unmute: a microphone is published open, and muted too late.
      if (!isSilent && !this.#hasEnded && this.#publication === undefined) await this.open();
    }
  }

  /** The meeting is over: nothing is opened any more. */
  end(): void {
    this.#hasEnded = true;
    this.stopSample();
  }

  /** End a clip early. */
  stopSample(): void {
    this.#sample?.stop();
  }

  get #publication(): LocalTrackPublication | undefined {
    return this.#participant.getTrackPublication(Track.Source.Microphone);
  }

  /** Whether it was muted on the way. */
  async #say(clip: AudioBuffer, audio: AudioContext): Promise<boolean> {
    const voice = new AudioBufferSourceNode(audio, { buffer: clip });
    const sink = new MediaStreamAudioDestinationNode(audio, { channelCount: 1 });
    voice.connect(sink);
    const [track] = sink.stream.getAudioTracks();
    if (track === undefined) return false;

    const isStopped = new Promise<void>((stop) => {
      this.#sample = { track, stop };
    });
    await audio.resume();
    if (this.#hasEnded) return true;
    const heard = this.#heardBySomebody();
    await this.#participant.publishTrack(track, { source: Track.Source.Microphone, name: "sample" });
    this.#isStarting = false;
    this.#onChange();

    await heard;
    const isOver = new Promise((over) => voice.addEventListener("ended", over, { once: true }));
    voice.start(audio.currentTime + LEAD_IN_MS / 1000);
    const wasStopped = await Promise.race([isOver.then(() => false), isStopped.then(() => true)]);
    if (!wasStopped) await Promise.race([wait(TAIL_MS), isStopped]);
    const wasMuted = this.isMuted;
    await this.#participant.unpublishTrack(track);
    return wasMuted;
  }

  #heardBySomebody(): Promise<unknown> {
    const listener = new Promise<void>((heard) =>
      this.#participant.once(ParticipantEvent.LocalTrackSubscribed, () => heard()),
    );
    return Promise.race([listener, wait(LISTENER_TIMEOUT_MS)]);
  }
}

async function decoded(url: string, audio: AudioContext): Promise<AudioBuffer> {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error("no such sample");
  return audio.decodeAudioData(await answer.arrayBuffer());
}

function wait(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

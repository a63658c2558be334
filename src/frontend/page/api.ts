// The HTTP API, as far as a meeting page needs it.

import { parseLine, type Segment } from "../captions/segments";
import { type Status, statusFrom } from "../captions/status";

export interface ConnectionDetails {
  readonly serverUrl: string;
  readonly participantToken: string;
  readonly roomName: string;
  readonly participantName: string;
}

export interface Config {
  readonly areSubtitlesEnabled: boolean;
  readonly handsOutConnections: boolean;
  /** What engines are called, by id. */
  readonly engineNames: ReadonlyMap<string, string>;
  /** What may be chosen from (BCP 47), the one used when none is chosen first. */
  readonly languages: readonly string[];
  readonly transcripts: TranscriptRules;
}

/** What the deployment says of transcripts; an event may say otherwise, and the server has the last word. */
export interface TranscriptRules {
  readonly areEnabled: boolean;
  readonly readers: Readers | null;
  readonly retentionDays: number | null;
}

export const READERS = ["joined", "all", "admins"] as const;
export type Readers = (typeof READERS)[number];

/** What one has chosen for this meeting. */
export interface Me {
  readonly isCaptioned: boolean;
  readonly isNameHidden: boolean;
  /** Empty while the name is shown. */
  readonly pseudonym: string;
  /** Whether this participant may have a transcript kept; null where the server does not say. */
  readonly mayKeep: boolean | null;
}

export type Wish = { readonly captions: boolean } | { readonly name: "hidden" | "shown" };

/** A page of the record; `next` is where the following one begins. */
export interface Lines {
  readonly lines: readonly Segment[];
  readonly next: number;
  readonly isEmpty: boolean;
}

export const FORMATS = ["vtt", "srt", "txt", "json", "docx"] as const;
export type Format = (typeof FORMATS)[number];

export interface ExportedFile {
  readonly name: string;
  readonly content: Blob;
}

/** What has been erased: how many of each kind. */
export interface Receipt {
  readonly erased: ReadonlyMap<string, number>;
  readonly at: string;
  readonly by: string;
}

/** The server refused, did not answer, or answered something else; `code` is the API's or one of ours. */
export class ApiError extends Error {
  readonly code: string;
  readonly retryAfterS: number | null;

  constructor(code: string, retryAfterS: number | null = null) {
    super(code);
    this.name = "ApiError";
    this.code = code;
    this.retryAfterS = retryAfterS;
  }
}

const TIMEOUT_MS = 10_000;
/** Of one answer, not of the wait for a large one that is made meanwhile. */
const EXPORT_TIMEOUT_MS = 120_000;
const EXPORT_TRIES = 60;
const EXPORT_AGAIN_MS = 2_000;
const MAX_FILE_NAME_CHARS = 200;

export interface ApiOptions {
  /** Empty: the page's own origin. */
  readonly baseUrl: string;
  readonly timeoutMs?: number;
}

interface Request {
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  readonly token?: string;
  readonly body?: Readonly<Record<string, unknown>>;
}

export class Api {
  readonly #baseUrl: string;
  readonly #timeoutMs: number;

  constructor({ baseUrl, timeoutMs = TIMEOUT_MS }: ApiOptions) {
    this.#baseUrl = `${baseUrl.replace(/\/+$/, "")}/api/v1.0`;
    this.#timeoutMs = timeoutMs;
  }

  async config(): Promise<Config> {
    const answer = await this.#send({ method: "GET", path: "/config/" });
    const engines = Array.isArray(answer.engines) ? answer.engines : [];
    return {
      areSubtitlesEnabled: answer.subtitles_enabled !== false,
      handsOutConnections: answer.connection_details_enabled !== false,
      engineNames: new Map(engines.map((engine) => [String(engine?.id), String(engine?.name)])),
      languages: languagesFrom(answer.language, engines),
      transcripts: transcriptRulesFrom(answer),
    };
  }

  async connectionDetails(wanted: { roomName: string; participantName: string }): Promise<ConnectionDetails> {
    const body = { room_name: wanted.roomName, participant_name: wanted.participantName };
    return connectionDetailsFrom(await this.#send({ method: "POST", path: "/connection-details/", body }));
  }

  /** The same participant's token with a later end; a body would ask for another participant. */
  async renewedToken(token: string): Promise<string> {
    const answer = await this.#send({ method: "POST", path: "/connection-details/", token });
    return connectionDetailsFrom(answer).participantToken;
  }

  async subtitles(room: string, token: string): Promise<Status> {
    return stateFrom(await this.#send({ method: "GET", path: subtitlesPath(room), token }));
  }

  /** Without a language, in the server's own. */
  async startSubtitles(room: string, token: string, language: string | null = null): Promise<Status> {
    const body = language === null ? {} : { language };
    return stateFrom(await this.#send({ method: "POST", path: subtitlesPath(room), token, body }));
  }

  async changeLanguage(room: string, token: string, language: string): Promise<Status> {
    return stateFrom(await this.#send({ method: "PATCH", path: subtitlesPath(room), token, body: { language } }));
  }

  async stopSubtitles(room: string, token: string): Promise<Status> {
    return stateFrom(await this.#send({ method: "DELETE", path: subtitlesPath(room), token }));
  }

  async keepTranscript(room: string, token: string, keep: boolean): Promise<Status> {
    return stateFrom(await this.#send({ method: "PUT", path: roomPath(room, "transcript/"), token, body: { keep } }));
  }

  async eraseTranscript(room: string, token: string): Promise<Receipt> {
    return receiptFrom(await this.#send({ method: "DELETE", path: roomPath(room, "transcript/"), token }));
  }

  async me(room: string, token: string): Promise<Me> {
    return meFrom(await this.#send({ method: "GET", path: roomPath(room, "me/"), token }));
  }

  async changeMe(room: string, token: string, wish: Wish): Promise<Me> {
    return meFrom(await this.#send({ method: "PUT", path: roomPath(room, "me/"), token, body: wish }));
  }

  /** What the record has had of changes since this cursor; from 0: all of it. */
  async lines(room: string, token: string, since: number): Promise<Lines> {
    return linesFrom(await this.#send({ method: "GET", path: roomPath(room, `segments/?since=${since}`), token }));
  }

  async search(room: string, token: string, words: string): Promise<readonly Segment[]> {
    const path = roomPath(room, `segments/?${new URLSearchParams({ q: words })}`);
    return linesFrom(await this.#send({ method: "GET", path, token })).lines;
  }

  /** The line as it is now; null if the server does not repeat it. */
  async correct(room: string, token: string, id: string, text: string): Promise<Segment | null> {
    const path = roomPath(room, `segments/${encodeURIComponent(id)}/`);
    return parseLine(await this.#send({ method: "PATCH", path, token, body: { text } }));
  }

  /** A large one is made meanwhile: its link is asked until it is there. */
  async exported(room: string, token: string, format: Format): Promise<ExportedFile> {
    const path = roomPath(room, `transcript/export/?format=${format}`);
    let response = await this.#ask({ method: "GET", path, token }, EXPORT_TIMEOUT_MS);
    for (let tries = 1; response.status === 202; tries += 1) {
      if (tries > EXPORT_TRIES) throw new ApiError("export_late");
      const { download } = (await jsonObject(response)) ?? {};
      if (typeof download !== "string") throw new ApiError("unexpected_answer");
      await new Promise((done) => setTimeout(done, waitMs(response)));
      // The link is signed, so it needs no token: one is not sent where a link may lead.
      response = await this.#fetched(linked(download, response.url), { method: "GET" }, EXPORT_TIMEOUT_MS);
    }
    if (!response.ok) throw refusal(response, await jsonObject(response));
    try {
      return { name: fileNameOf(response.headers, `transcript.${format}`), content: await response.blob() };
    } catch {
      throw new ApiError("unreachable");
    }
  }

  async #send(request: Request): Promise<Record<string, unknown>> {
    const response = await this.#ask(request, this.#timeoutMs);
    const answer = await jsonObject(response);
    if (!response.ok) throw refusal(response, answer);
    if (answer === null) throw new ApiError("unexpected_answer");
    return answer;
  }

  #ask({ method, path, token, body }: Request, timeoutMs: number): Promise<Response> {
    const headers = new Headers({ Accept: "application/json" });
    if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    const json = body === undefined ? null : JSON.stringify(body);
    return this.#fetched(`${this.#baseUrl}${path}`, { method, headers, body: json }, timeoutMs);
  }

  async #fetched(url: string, request: RequestInit, timeoutMs: number): Promise<Response> {
    try {
      return await fetch(url, { ...request, cache: "no-store", signal: AbortSignal.timeout(timeoutMs) });
    } catch {
      throw new ApiError("unreachable");
    }
  }
}

function subtitlesPath(room: string): string {
  return roomPath(room, "subtitles/");
}

function roomPath(room: string, path: string): string {
  return `/rooms/${encodeURIComponent(room)}/${path}`;
}

function transcriptRulesFrom(answer: Record<string, unknown>): TranscriptRules {
  const { transcripts_enabled, transcript_readers, transcript_retention_days: days } = answer;
  return {
    areEnabled: transcripts_enabled !== false,
    readers: READERS.find((readers) => readers === transcript_readers) ?? null,
    retentionDays: Number.isSafeInteger(days) && (days as number) > 0 ? (days as number) : null,
  };
}

function meFrom({ captions, name, pseudonym, may_keep }: Record<string, unknown>): Me {
  if (typeof captions !== "boolean" || (name !== "shown" && name !== "hidden")) throw new ApiError("unexpected_answer");
  return {
    isCaptioned: captions,
    isNameHidden: name === "hidden",
    pseudonym: name === "hidden" && typeof pseudonym === "string" ? pseudonym : "",
    mayKeep: typeof may_keep === "boolean" ? may_keep : null,
  };
}

function linesFrom({ segments, next }: Record<string, unknown>): Lines {
  if (!Array.isArray(segments)) throw new ApiError("unexpected_answer");
  const lines = segments.map(parseLine).filter((line) => line !== null);
  return { lines, next: Number.isSafeInteger(next) ? (next as number) : 0, isEmpty: segments.length === 0 };
}

function receiptFrom({ erased, at, by }: Record<string, unknown>): Receipt {
  if (typeof erased !== "object" || erased === null) throw new ApiError("unexpected_answer");
  const counts = Object.entries(erased).filter(([, count]) => Number.isSafeInteger(count)) as [string, number][];
  return { erased: new Map(counts), at: String(at ?? ""), by: String(by ?? "") };
}

function waitMs(response: Response): number {
  return (retryAfterS(response) ?? EXPORT_AGAIN_MS / 1_000) * 1_000;
}

/** Where a link of an answer leads. */
function linked(download: string, base: string): string {
  const url = URL.canParse(download, base) ? new URL(download, base) : null;
  if (url === null || !/^https?:$/.test(url.protocol)) throw new ApiError("unexpected_answer");
  return url.href;
}

/** What the server calls the file: RFC 6266, the extended form first. Never a path. */
function fileNameOf(headers: Headers, otherwise: string): string {
  const disposition = headers.get("Content-Disposition") ?? "";
  const [, extended] = /filename\*\s*=\s*UTF-8'[^']*'([^;\s]+)/i.exec(disposition) ?? [];
  const [, quoted, bare] = /filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;\s]+))/i.exec(disposition) ?? [];
  const name = decoded(extended) ?? quoted?.replace(/\\(.)/g, "$1") ?? bare ?? "";
  const last = name.split(/[/\\]/).at(-1) as string;
  return last.replace(/\p{C}/gu, "").slice(-MAX_FILE_NAME_CHARS).trim() || otherwise;
}

function decoded(encoded: string | undefined): string | null {
  try {
    return encoded === undefined ? null : decodeURIComponent(encoded);
  } catch {
    return null;
  }
}

function languagesFrom(preferred: unknown, engines: readonly { readonly languages?: unknown }[]): string[] {
  const spoken = engines.flatMap((engine) => (Array.isArray(engine?.languages) ? engine.languages.map(String) : []));
  const first = spoken.filter((language) => language === preferred);
  return [...new Set([...first, ...spoken])];
}

async function jsonObject(response: Response): Promise<Record<string, unknown> | null> {
  try {
    const answer: unknown = await response.json();
    return typeof answer === "object" && answer !== null ? (answer as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function refusal(response: Response, answer: Record<string, unknown> | null): ApiError {
  const code = answer?.code;
  if (typeof code === "string") return new ApiError(code, retryAfterS(response));
  return new ApiError(response.status >= 500 ? "server_trouble" : "unexpected_answer", retryAfterS(response));
}

function retryAfterS(response: Response): number | null {
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
}

function connectionDetailsFrom(answer: Record<string, unknown>): ConnectionDetails {
  const { server_url, participant_token, room_name, participant_name } = answer;
  if (typeof server_url !== "string" || typeof participant_token !== "string" || typeof room_name !== "string") {
    throw new ApiError("unexpected_answer");
  }
  return {
    serverUrl: server_url,
    participantToken: participant_token,
    roomName: room_name,
    participantName: typeof participant_name === "string" ? participant_name : "",
  };
}

function stateFrom(answer: Record<string, unknown>): Status {
  const status = statusFrom(answer);
  if (status === null) throw new ApiError("unexpected_answer");
  return status;
}

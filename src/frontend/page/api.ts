// The HTTP API, as far as a meeting page needs it.

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

export interface ApiOptions {
  /** Empty: the page's own origin. */
  readonly baseUrl: string;
  readonly timeoutMs?: number;
}

interface Request {
  readonly method: "GET" | "POST" | "PATCH" | "DELETE";
  readonly path: string;
  readonly token?: string;
  readonly body?: Record<string, string>;
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

  async #send({ method, path, token, body }: Request): Promise<Record<string, unknown>> {
    const headers = new Headers({ Accept: "application/json" });
    if (token !== undefined) headers.set("Authorization", `Bearer ${token}`);
    if (body !== undefined) headers.set("Content-Type", "application/json");
    const response = await this.#fetch(`${this.#baseUrl}${path}`, {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      cache: "no-store",
      signal: AbortSignal.timeout(this.#timeoutMs),
    });
    const answer = await jsonObject(response);
    if (!response.ok) throw refusal(response, answer);
    if (answer === null) throw new ApiError("unexpected_answer");
    return answer;
  }

  async #fetch(url: string, request: RequestInit): Promise<Response> {
    try {
      return await fetch(url, request);
    } catch {
      throw new ApiError("unreachable");
    }
  }
}

function subtitlesPath(room: string): string {
  return `/rooms/${encodeURIComponent(room)}/subtitles/`;
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
  const seconds = Number(response.headers.get("Retry-After") ?? Number.NaN);
  const retryAfterS = Number.isFinite(seconds) && seconds >= 0 ? seconds : null;
  if (typeof code === "string") return new ApiError(code, retryAfterS);
  return new ApiError(response.status >= 500 ? "server_trouble" : "unexpected_answer", retryAfterS);
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

// A scripted server that speaks the API's wire, on a real port.

import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | undefined;
  readonly contentType: string | undefined;
  readonly body: string;
}

export interface Answer {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** The answer waits for this. */
  readonly after?: Promise<unknown>;
}

export class ScriptedApi implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #answers: (asked: Asked) => Answer;
  readonly #server: Server;

  private constructor(answers: (asked: Asked) => Answer) {
    this.#answers = answers;
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(({ status = 200, body = {}, headers = {} }) => {
        response.writeHead(status, { "Content-Type": "application/json", ...headers });
        response.end(typeof body === "string" ? body : JSON.stringify(body));
      });
    });
  }

  static async start(answers: (asked: Asked) => Answer): Promise<ScriptedApi> {
    const api = new ScriptedApi(answers);
    await new Promise<void>((listening) => api.#server.listen(0, "127.0.0.1", listening));
    return api;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    const asked = {
      method: request.method ?? "",
      path: request.url ?? "",
      authorization: request.headers.authorization,
      contentType: request.headers["content-type"],
      body,
    };
    this.asked.push(asked);
    const answer = this.#answers(asked);
    await answer.after;
    return answer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((closed) => this.#server.close(closed));
  }
}

/** A token as far as the page reads one: it is not signed. */
export function tokenOf(claims: Record<string, unknown>): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part(claims)}.c2lnbmF0dXJl`;
}

export const IDLE = {
  room: "plan/ning",
  state: "idle",
  generation: 0,
  language: "en",
  engine: "embedded",
  since: null,
  started_by: null,
  reason: null,
};

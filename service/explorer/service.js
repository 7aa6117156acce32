// The service as the page sees it: requests, refusals in sentences, and one question at a time.

/** A refusal of the service, or its silence. */
export class Refusal extends Error {
  /** @param {{title?: string, detail?: string, errors?: {pointer: string, detail: string}[]}} problem */
  constructor(problem) {
    super(sentences(problem));
  }
}

/**
 * Return a problem document as sentences: what is wrong, then each value at fault, once.
 * @param {{title?: string, detail?: string, errors?: {pointer: string, detail: string}[]}} problem
 */
export function sentences(problem) {
  const said = [problem.detail || problem.title || "The service refused the request."];
  for (const { detail } of problem.errors ?? []) {
    if (!said.some((sentence) => sentence.includes(detail))) said.push(detail);
  }
  return said.join("\n");
}

/**
 * Ask the service, and return its JSON.
 * @param {string} path - Relative to the page, so that a prefix of a proxy stays.
 * @param {{method?: string, body?: unknown, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @throws {Refusal} It answers with a problem, or not at all.
 */
export async function ask(path, { method, body, headers = {}, signal } = {}) {
  const sent = { method: method ?? (body === undefined ? "GET" : "POST"), signal };
  sent.headers = { Accept: "application/json", ...headers };
  if (body instanceof FormData) sent.body = body;
  else if (body !== undefined) {
    sent.body = JSON.stringify(body);
    sent.headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, sent);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal({ detail: "The service does not answer. See whether it still runs, then choose again." });
  }
  if (answer.status === 204) return null;
  const document = await answer.json().catch((error) => {
    if (signal?.aborted) throw error;
    return { detail: `The service answered ${answer.status} without a reason.` };
  });
  if (!answer.ok) throw new Refusal(document);
  return document;
}

const PATIENCE_MS = 300;

/** @typedef {{scene: string, work: (signal: AbortSignal) => Promise<void>, patienceMs: number}} Question */

/**
 * One question at a time: while one is under way, only the latest of those that follow is kept.
 *
 * A question under way is given up once it is about another scene, or slow; a quick one is let end,
 * so that a slider in motion shows every answer there is time for, and none out of order.
 */
export class Latest {
  /** @type {Question & {since: number, abort: AbortController} | null} */
  #current = null;
  /** @type {Question | null} */
  #waiting = null;
  #onError;
  #onBusy;

  /**
   * @param {(error: Error) => void} onError
   * @param {(busy: boolean) => void} onBusy
   */
  constructor(onError, onBusy = () => {}) {
    this.#onError = onError;
    this.#onBusy = onBusy;
  }

  get isBusy() {
    return this.#current !== null;
  }

  /**
   * @param {string} scene - What the answer would be drawn into.
   * @param {(signal: AbortSignal) => Promise<void>} work
   * @param {number} patienceMs - How long it may take once another question has come.
   */
  ask(scene, work, patienceMs = PATIENCE_MS) {
    this.#waiting = { scene, work, patienceMs };
    const current = this.#current;
    if (!current) this.#go();
    else if (current.scene !== scene) current.abort.abort();
    else setTimeout(() => current.abort.abort(), current.patienceMs - (performance.now() - current.since));
  }

  async #go() {
    this.#onBusy(true);
    while (this.#waiting) {
      const abort = new AbortController();
      this.#current = { ...this.#waiting, since: performance.now(), abort };
      this.#waiting = null;
      try {
        await this.#current.work(abort.signal);
      } catch (error) {
        if (!abort.signal.aborted) this.#onError(error);
      }
    }
    this.#current = null;
    this.#onBusy(false);
  }
}

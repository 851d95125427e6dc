import { createHash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { mebibytes, type Progress } from "./progress.ts";

/** Options of {@link download}. */
export interface DownloadOptions {
  url: string;
  /** A file that must not exist yet. It is left behind, unfinished, when the download fails. */
  file: string;
  maxBytes: number;
  /** The longest that nothing may arrive. Default: 30 s. */
  idleMs?: number;
  /** The longest that all may take. Default: 15 min. */
  totalMs?: number;
  signal: AbortSignal;
  progress: Progress;
}

/** Nothing usable came from a URL. The message says from which, and why. */
export class DownloadFailed extends Error {
  override readonly name = "DownloadFailed";
  /** The HTTP status that was answered instead of 200, where one was. */
  readonly status: number | undefined;

  constructor(message: string, { status, ...options }: ErrorOptions & { status?: number } = {}) {
    super(message, options);
    this.status = status;
  }
}

const maxRedirects = 5;

/**
 * Downloads a file over http or https. Redirects are followed, five at most, and never from
 * https to plain http.
 *
 * @returns the SHA-256 of what arrived, lower-case hex
 * @throws DownloadFailed, or the reason of `signal`
 */
export async function download(options: DownloadOptions): Promise<string> {
  const limits = createLimits(options);
  const file = await open(options.file, "wx", 0o600);
  try {
    const response = await follow(options.url, limits.signal);
    return await save(response, file, options, limits);
  } catch (error) {
    options.signal.throwIfAborted();
    if (error instanceof DownloadFailed) throw error;
    throw new DownloadFailed(`${options.url}: ${limits.exceeded() ?? reasonOf(error)}`, { cause: error });
  } finally {
    limits.close();
    await file.close();
  }
}

async function follow(start: string, signal: AbortSignal): Promise<Response> {
  let url = start;
  for (let redirects = 0; redirects <= maxRedirects; redirects++) {
    // What arrives is hashed as it is: an encoding would be undone on the way.
    const response = await fetch(url, { redirect: "manual", signal, headers: { "accept-encoding": "identity" } });
    if (response.status === 200) return response;
    await response.body?.cancel();
    const location = response.headers.get("location");
    if (![301, 302, 303, 307, 308].includes(response.status) || location === null)
      throw new DownloadFailed(`${url}: HTTP status ${response.status}`, { status: response.status });
    url = redirected(url, location);
  }
  throw new DownloadFailed(`${start}: more than ${maxRedirects} redirects`);
}

function redirected(from: string, location: string): string {
  const to = URL.parse(location, from);
  if (to === null || !(to.protocol === "https:" || (to.protocol === "http:" && new URL(from).protocol === "http:")))
    throw new DownloadFailed(`${from}: refused to follow the redirect to ${location}`);
  return to.href;
}

async function save(response: Response, file: FileHandle, options: DownloadOptions, limits: Limits): Promise<string> {
  const { url, maxBytes, progress } = options;
  const announced = Number(response.headers.get("content-length") ?? Number.NaN);
  const tooLarge = () => new DownloadFailed(`${url}: larger than the limit of ${mebibytes(maxBytes)}`);
  if (announced > maxBytes) throw tooLarge();
  const hash = createHash("sha256");
  let received = 0;
  try {
    for await (const chunk of response.body ?? []) {
      limits.arrived();
      received += chunk.length;
      if (received > maxBytes) throw tooLarge();
      hash.update(chunk);
      await file.writeFile(chunk);
      const total = Number.isNaN(announced) ? "" : ` of ${mebibytes(announced)}`;
      progress.update(`downloading: ${mebibytes(received)}${total}`);
    }
  } catch (error) {
    if (error instanceof DownloadFailed || limits.signal.aborted) throw error;
    throw new DownloadFailed(`${url}: ended after ${received} bytes: ${reasonOf(error)}`, { cause: error });
  }
  return hash.digest("hex");
}

interface Limits {
  readonly signal: AbortSignal;
  arrived(): void;
  /** Which limit was exceeded, if one was. */
  exceeded(): string | undefined;
  close(): void;
}

function createLimits({ signal, idleMs = 30_000, totalMs = 15 * 60_000 }: DownloadOptions): Limits {
  const controller = new AbortController();
  let exceeded: string | undefined;
  const exceed = (what: string) => {
    exceeded = what;
    controller.abort();
  };
  const idle = setTimeout(() => exceed(`nothing arrived for ${idleMs / 1_000} s`), idleMs);
  const total = setTimeout(() => exceed(`not finished after ${totalMs / 1_000} s`), totalMs);
  return {
    signal: AbortSignal.any([signal, controller.signal]),
    arrived: () => void idle.refresh(),
    exceeded: () => exceeded,
    close() {
      clearTimeout(idle);
      clearTimeout(total);
    },
  };
}

// `fetch` says "fetch failed" or "terminated", and why only in the cause.
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}

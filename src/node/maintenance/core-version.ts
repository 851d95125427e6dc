import { DownloadFailed } from "../engines/install/download.ts";
import { ReleaseNotFound, UnusableRequest } from "./situations.ts";

/**
 * Reads a version as callers write it: `v26.3.27`, `26.3.27` or `latest`. Nothing else passes: it becomes a part of a URL
 * and of a path.
 *
 * @returns `26.3.27`, or `latest`
 * @throws UnusableRequest
 */
export function readCoreVersion(text: string): string {
  if (text === "") throw new UnusableRequest("core_version is required");
  if (text === "latest") return text;
  const version = versionOfTag(text);
  if (version === undefined) throw new UnusableRequest("core_version must match pattern vX.X.X");
  return version;
}

/** Options of {@link latestVersion}. */
export interface LatestOptions {
  /** A directory with `<tag>/<archive>` in it, without a slash at its end. */
  mirror: string;
  signal: AbortSignal;
  /** The longest that the mirror may take. Default: 30 s. */
  timeoutMs?: number;
}

/**
 * The newest version that a mirror has: `<mirror>/latest` is a text with its tag, or redirects to a path that ends with
 * it. Of a mirror that ends in `/releases/download`, as those of GitHub do, it is `/releases/latest`.
 *
 * @throws DownloadFailed, ReleaseNotFound, or the signal's reason
 */
export async function latestVersion({ mirror, signal, timeoutMs = 30_000 }: LatestOptions): Promise<string> {
  if (mirror.endsWith(".zip"))
    throw new ReleaseNotFound(`${mirror} is one archive: it does not tell what is the latest`);
  const url = `${mirror.replace(/\/releases\/download$/, "/releases")}/latest`;
  const tag = await tagAt(url, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])).catch((cause: unknown) => {
    signal.throwIfAborted();
    throw cause instanceof DownloadFailed ? cause : new DownloadFailed(`${url}: ${reasonOf(cause)}`, { cause });
  });
  const version = versionOfTag(tag);
  if (version === undefined) throw new ReleaseNotFound(`${url} does not tell what is the latest version`);
  return version;
}

async function tagAt(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { redirect: "manual", signal });
  const location = response.headers.get("location");
  if (response.status >= 300 && response.status < 400 && location !== null) {
    await response.body?.cancel();
    return (
      location
        .replace(/[?#].*$/s, "")
        .split("/")
        .at(-1) ?? ""
    );
  }
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new DownloadFailed(`${url}: HTTP status ${response.status}`);
  }
  return firstBytes(response);
}

const longestTag = 64;

async function firstBytes({ body }: Response): Promise<string> {
  let text = "";
  for await (const chunk of body ?? []) {
    text += Buffer.from(chunk).toString("latin1");
    if (text.length > longestTag) break;
  }
  return text.trim();
}

function versionOfTag(tag: string): string | undefined {
  return /^v?(\d{1,5}\.\d{1,5}\.\d{1,5})$/.exec(tag)?.[1];
}

// `fetch` says "fetch failed", and why only in the cause.
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? error.cause.message || error.message : error.message;
}

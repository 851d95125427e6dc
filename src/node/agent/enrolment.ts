import { join } from "node:path";
import { AuthorityMismatch, fetchAuthority } from "../../platform/identity/pinned-tls.ts";
import { pause } from "../../platform/pause.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { EnrolmentSettings } from "./agent-variables.ts";
import { createBackoff } from "./contact/backoff.ts";
import { CoreAway, CoreRefused, createCoreClient, protocolVersion } from "./contact/core-client.ts";
import { type CoreIdentity, installIdAt, keepIdentity } from "./contact/identity.ts";

/** What the node says of itself when it enrols. */
interface NodeFacts {
  /** What operators call it; when another node is called so already, a part of the installation's id is added. */
  readonly name: string;
  /** Its public address. */
  readonly ip: string;
  readonly port: number;
  readonly agentVersion: string;
  readonly capabilities: readonly string[];
}

/** Options of {@link enrol}. */
export interface EnrolOptions {
  readonly settings: EnrolmentSettings;
  /** Where identities are kept. It exists. */
  readonly directory: string;
  readonly facts: NodeFacts;
  readonly signal: AbortSignal;
  readonly log: Logger;
}

/** Core does not let the node in. The message says why, and what to do. */
class EnrolmentRefused extends Error {
  override readonly name = "EnrolmentRefused";
}

/** Where the identity of a node is kept. */
export function identityFile(directory: string): string {
  return join(directory, "identity.json");
}

/**
 * Makes this server a node of Core, and keeps what Core knows it by. Whoever has the authority that the code names is
 * found out before the code is sent. A Core that does not answer is asked until it does, or the signal aborts.
 *
 * Throws {@link EnrolmentRefused}, and `AuthorityMismatch` when somebody else listens at Core's address.
 */
export async function enrol(options: EnrolOptions): Promise<CoreIdentity> {
  const { settings, directory, signal, log } = options;
  const backoff = createBackoff();
  // Kept first: a call whose answer is lost is made again under the same id.
  const installId = await installIdAt(join(directory, "install-id"));
  for (;;) {
    try {
      const identity = await enrolOnce(options, installId);
      await keepIdentity(identityFile(directory), identity);
      log.info({ nodeId: identity.nodeId, urls: identity.urls }, "this server is a node of Core now");
      return identity;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof CoreRefused) throw refusalOf(error);
      if (error instanceof AuthorityMismatch) throw error;
      const waitMs = backoff.after(error);
      log.warn({ waitMs: Math.round(waitMs), urls: settings.urls }, `not enrolled yet: ${textOf(error)}`);
      await pause(waitMs, signal);
      signal.throwIfAborted();
    }
  }
}

async function enrolOnce({ settings, facts, signal }: EnrolOptions, installId: string): Promise<CoreIdentity> {
  const { urls, secret, caSha256 } = settings;
  const authority = caSha256 === undefined ? undefined : await authorityAt(urls, caSha256, signal);
  const done = new AbortController();
  const client = createCoreClient({
    urls,
    authority,
    authKey: () => undefined,
    signal: AbortSignal.any([signal, done.signal]),
  });
  const register = (name: string) =>
    client.call((core, call) =>
      core.register(
        { ...facts, capabilities: [...facts.capabilities], name, installId, code: secret, protocolVersion },
        call,
      ),
    );
  try {
    const { authKey, nodeId } = await register(facts.name).catch((error: unknown) => {
      if (!(error instanceof CoreRefused) || error.code !== "NAME_TAKEN") throw error;
      return register(`${facts.name.slice(0, 100)}-${installId.slice(0, 8)}`);
    });
    return { nodeId: Number(nodeId), authKey, urls, authority, installId };
  } finally {
    done.abort();
  }
}

/** The certificate of Core's authority, from the first address that has it. Undefined: none of them is encrypted. */
async function authorityAt(
  urls: readonly string[],
  caSha256: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  let failure: unknown;
  const encrypted = urls.filter((url) => url.startsWith("https:"));
  for (const url of encrypted) {
    try {
      return await fetchAuthority(url, { caSha256, signal });
    } catch (error) {
      // Somebody in Core's place is worse news than nobody.
      if (!(failure instanceof AuthorityMismatch)) failure = error;
    }
  }
  if (encrypted.length === 0) return undefined;
  if (failure instanceof AuthorityMismatch) throw failure;
  throw new CoreAway(`Core does not answer: ${textOf(failure)}`, undefined, failure);
}

function refusalOf(error: CoreRefused): EnrolmentRefused {
  const remedy =
    error.code === "CODE_INVALID"
      ? "The code is unknown, expired or used: make another one at Core, and put it in CORE_ENROLMENT_CODE"
      : error.message;
  return new EnrolmentRefused(`Core does not enrol this server (${error.code || "no reason"}): ${remedy}`);
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

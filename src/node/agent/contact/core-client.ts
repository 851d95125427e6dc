import { type CallOptions, type Client, Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { NodeAgentService } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { asAuthorityMismatch, pinnedTls } from "../../../platform/identity/pinned-tls.ts";
import { machineCodeHeader } from "../../../platform/rpc/public-error.ts";

/** The version of the contract that the agent speaks: since 2 it knows `services.wireguard` of configs. */
export const protocolVersion = 2;

/** Calls Core. */
export interface CoreClient {
  /**
   * Makes a call to the address that answered last, and when it cannot be reached to the others in turn. Throws
   * {@link CoreAway} when none answers, {@link CoreRefused} when Core has answered with an error, and `AuthorityMismatch`
   * when somebody answers who is not Core. A call whose key was replaced while it was on its way is made again with the
   * new one.
   */
  call<T>(make: CoreCall<T>, bounds?: CallBounds): Promise<T>;
}

/** One call. The options are to be handed on with it. */
type CoreCall<T> = (client: Client<typeof NodeAgentService>, options: CallOptions) => Promise<T>;

/** What bounds a call. */
interface CallBounds {
  /** How long it may take; 0: as long as it likes. Default: 30,000. */
  readonly timeoutMs?: number;
  /** Aborts it. It is aborted as well when all calls are. */
  readonly signal?: AbortSignal;
}

/** Core does not answer, or cannot at the moment: the same call again, later. */
export class CoreAway extends Error {
  override readonly name = "CoreAway";
  /** How long Core asks to be left alone. Undefined: it does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, retryAfterMs: number | undefined, cause: unknown) {
    super(message, { cause });
    this.retryAfterMs = retryAfterMs;
  }
}

/** Core has refused a call. The message is Core's. */
export class CoreRefused extends Error {
  override readonly name = "CoreRefused";
  /** The stable name, such as `KEY_REVOKED`; empty when it has none. */
  readonly code: string;
  readonly error: ConnectError;

  constructor(error: ConnectError) {
    super(error.rawMessage, { cause: error });
    this.code = error.metadata.get(machineCodeHeader) ?? "";
    this.error = error;
  }
}

/** Options of {@link createCoreClient}. */
export interface CoreClientOptions {
  /** Where Core is, best first. */
  readonly urls: readonly string[];
  /** The certificate of Core's authority, PEM. Undefined: the machine's own authorities count. */
  readonly authority: string | undefined;
  /** The node's key; undefined: none yet. */
  readonly authKey: () => string | undefined;
  /** Core does not accept the key: where there is another one when it resolves, the call is made again. Default: not. */
  readonly keyRefused?: () => Promise<void>;
  /** Aborts all calls, and closes all connections. */
  readonly signal: AbortSignal;
}

/** Makes a client; nothing is called yet. */
export function createCoreClient(options: CoreClientOptions): CoreClient {
  const { authority, authKey } = options;
  const tls = authority === undefined ? {} : pinnedTls(authority);
  const clients = options.urls.map((baseUrl) => {
    const sessionManager = new Connections(baseUrl, pings, tls);
    options.signal.addEventListener("abort", () => sessionManager.abort(), { once: true });
    return createClient(
      NodeAgentService,
      createConnectTransport({ baseUrl, httpVersion: "2", sessionManager, readMaxBytes: largestConfigBytes }),
    );
  });
  let last = 0;

  async function callWith<T>(key: string | undefined, make: CoreCall<T>, bounds: CallOptions): Promise<T> {
    const headers: Record<string, string> = key === undefined ? {} : { "x-node-auth-key": key };
    let away: CoreAway | undefined;
    for (let tried = 0; tried < clients.length; tried++) {
      const at = (last + tried) % clients.length;
      const client = clients[at];
      if (client === undefined) break;
      try {
        const answer = await make(client, { headers, ...bounds });
        last = at;
        return answer;
      } catch (error) {
        const failure = failureOf(error);
        if (!(failure instanceof CoreAway)) throw failure;
        away ??= failure;
      }
    }
    throw away ?? new CoreAway("there is no address of Core", undefined, undefined);
  }

  return {
    async call(make, { timeoutMs = 30_000, signal: own } = {}) {
      const signal = own === undefined ? options.signal : AbortSignal.any([own, options.signal]);
      for (;;) {
        const key = authKey();
        try {
          return await callWith(key, make, { signal, timeoutMs });
        } catch (error) {
          if (!(error instanceof CoreRefused) || !isAboutKey(error)) throw error;
          // Another call may have been the first with a new key, and ended the one that was on its way with this one.
          if (key === authKey()) await options.keyRefused?.();
          if (key === authKey()) throw error;
        }
      }
    },
  };
}

/** Core does not accept the node's key. */
export function isAboutKey({ error }: CoreRefused): boolean {
  return error.code === Code.Unauthenticated || error.code === Code.PermissionDenied;
}

/** The connections to an address. One that breaks in the middle of a frame fails once more when nobody listens any more. */
class Connections extends Http2SessionManager {
  override async request(...args: Parameters<Http2SessionManager["request"]>) {
    const stream = await super.request(...args);
    const { session } = stream;
    if (session?.listeners("error").includes(heard) === false) session.on("error", heard);
    return stream;
  }
}

/** Whoever has called is told by the stream. */
function heard(): void {}

const largestConfigBytes = 64 << 20;
/** A connection that has died without a word is found out while it is used, and ends when it is not. */
const pings = { pingIntervalMs: 20_000, pingTimeoutMs: 10_000, idleConnectionTimeoutMs: 300_000 };

/**
 * Codes with which Core, or what is in front of it, says that it cannot answer now. A connection that breaks is `Aborted`
 * to Connect.
 */
const awayCodes = new Set([
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.Unknown,
  Code.Canceled,
  Code.Aborted,
]);

function failureOf(thrown: unknown): unknown {
  const cause = asAuthorityMismatch(thrown);
  if (cause !== thrown) return cause;
  const error = ConnectError.from(thrown);
  // With a name of its own it is Core's word, whatever the code.
  const isNamed = error.metadata.has(machineCodeHeader);
  if (error.code === Code.ResourceExhausted && !isSizeRelated(error)) return away(error);
  return !isNamed && awayCodes.has(error.code) ? away(error) : new CoreRefused(error);
}

function isSizeRelated({ metadata }: ConnectError): boolean {
  return metadata.get(machineCodeHeader) === "PAYLOAD_TOO_LARGE";
}

function away(error: ConnectError): CoreAway {
  const seconds = Number(error.metadata.get("retry-after") ?? Number.NaN);
  const retryAfterMs = Number.isFinite(seconds) ? seconds * 1_000 : undefined;
  return new CoreAway(`Core does not answer: ${error.rawMessage}`, retryAfterMs, error);
}

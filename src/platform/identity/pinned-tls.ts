import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { connect, type DetailedPeerCertificate } from "node:tls";
import { certificateSha256 } from "./authority.ts";

/** Options for `node:tls`, `node:https` and `node:http2`: who is trusted. */
export interface PinnedTls {
  readonly ca: string;
  readonly checkServerIdentity: () => undefined;
}

/** Options of {@link fetchAuthority}. */
export interface FetchAuthorityOptions {
  /** Of the certificate of the authority, in lower-case hex. */
  caSha256: string;
  /** How long the other side may take. Default: 10,000. */
  timeoutMs?: number;
  /** Gives up when it aborts. */
  signal?: AbortSignal;
}

/** The other side is not the one that is pinned: whatever was to be sent must not be. */
export class AuthorityMismatch extends Error {
  override readonly name = "AuthorityMismatch";

  constructor(cause?: unknown) {
    super(
      "the certificate of the other side is not signed by the authority that is pinned: it is somebody else, or its " +
        "authority was made anew, and then this one has to be enrolled again",
      { cause },
    );
  }
}

/**
 * Trusts whoever has a valid certificate of one authority, and nobody else, the machine's own authorities included. The
 * names in it do not matter: the authority signs for one service only, which may move to another address.
 *
 * @param ca the certificate of the authority, PEM
 */
export function pinnedTls(ca: string): PinnedTls {
  return { ca, checkServerIdentity: () => undefined };
}

/**
 * Gets the certificate of the authority that is pinned from whoever listens at an `https://` URL. Nothing is sent to
 * them. That they have it proves nothing; connections with {@link pinnedTls} do.
 *
 * @returns the certificate, PEM
 * @throws AuthorityMismatch when theirs is another one, and the error of the socket when they cannot be reached
 */
export async function fetchAuthority(url: string, options: FetchAuthorityOptions): Promise<string> {
  const { caSha256, timeoutMs = 10_000, signal } = options;
  const { hostname, port } = new URL(url);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({
    host,
    port: Number(port || 443),
    ...(isIP(host) === 0 && { servername: host }),
    ALPNProtocols: ["h2", "http/1.1"],
    rejectUnauthorized: false,
  });
  const giveUp = () => socket.destroy(signal?.reason instanceof Error ? signal.reason : new Error("given up"));
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`${url} did not answer within ${timeoutMs} ms`)));
  socket.once("error", reject);
  socket.once("close", () => reject(new Error(`${url} has closed the connection`)));
  socket.once("secureConnect", () => {
    const pinned = chainOf(socket.getPeerCertificate(true)).find((cert) => certificateSha256(cert) === caSha256);
    if (pinned === undefined) reject(new AuthorityMismatch());
    else resolve(new X509Certificate(pinned).toString());
  });
  signal?.addEventListener("abort", giveUp, { once: true });
  if (signal?.aborted) giveUp();
  try {
    return await promise;
  } finally {
    signal?.removeEventListener("abort", giveUp);
    socket.destroy();
  }
}

/**
 * What failed, where it is that the other side is not the one that is pinned; anything else as it is. Looks beneath
 * the errors that clients wrap around that of the socket.
 */
export function asAuthorityMismatch(error: unknown): unknown {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && typeof cause.code === "string" && untrustedCodes.has(cause.code))
      return new AuthorityMismatch(error);
  }
  return error;
}

const untrustedCodes = new Set([
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "INVALID_CA",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/** The certificates that were sent, DER, each followed by its issuer's; the last one is its own issuer. */
function chainOf(certificate: DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  for (let next: DetailedPeerCertificate | undefined = certificate; next?.raw !== undefined; ) {
    chain.push(next.raw);
    next = next.issuerCertificate === next ? undefined : next.issuerCertificate;
  }
  return chain;
}

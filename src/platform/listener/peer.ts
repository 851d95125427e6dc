/** The other end of a connection. */
export interface Peer {
  /** Its IP address as the socket says, IPv4 without the IPv6 prefix. Empty when the socket is gone. */
  readonly address: string;
  /** The connection is encrypted. */
  readonly secure: boolean;
  /** A call on the connection has passed the gate: its receive windows and its idle time rise. Idempotent. */
  trust(): void;
}

/** Nobody: for calls that do not come from a socket. */
export const noPeer: Peer = { address: "", secure: false, trust: () => undefined };

import { EngineUnreachable } from "../../engine-error.ts";

/** The WireGuard of one interface, whether it runs in the kernel or as a process. Keys are base64. */
export interface WireGuardDevice {
  /** What it holds. Throws {@link DeviceUnreachable}. */
  read(): Promise<DeviceState>;
  /**
   * Sets its private key and port, and leaves its peers as they are. Throws {@link DeviceRefused} or
   * {@link DeviceUnreachable}.
   */
  configure(settings: DeviceSettings): Promise<void>;
  /**
   * Changes these peers, in this order, and leaves all others as they are: nobody's session ends but that of a peer that
   * is removed. It is not one step: when it throws, any part may have been done.
   *
   * Throws {@link DeviceRefused} or {@link DeviceUnreachable}.
   */
  change(changes: readonly PeerChange[]): Promise<void>;
}

/** What an interface is known by. */
export interface DeviceSettings {
  readonly privateKey: string;
  readonly listenPort: number;
}

/** A peer that is to be removed, or to be as it says whether it is there or not. */
export type PeerChange =
  | { readonly publicKey: string; readonly remove: true }
  | {
      readonly publicKey: string;
      readonly remove?: false;
      /** Canonical ranges: all of them. One that another peer has is taken from it without a word. */
      readonly allowedIps: readonly string[];
      /** Undefined: none. */
      readonly preSharedKey: string | undefined;
    };

/** What an interface holds. */
export interface DeviceState {
  readonly listenPort: number;
  readonly peers: readonly PeerState[];
}

/** A peer as it stands. */
export interface PeerState {
  readonly publicKey: string;
  readonly allowedIps: readonly string[];
  /** The address that it was heard from last. Undefined: never. */
  readonly endpoint: string | undefined;
  /** When the last handshake was, in Unix seconds. 0: never. */
  readonly lastHandshake: number;
  readonly receivedBytes: bigint;
  readonly sentBytes: bigint;
}

/** WireGuard does not take what it is given. The message has its words, and no key. */
export class DeviceRefused extends Error {
  override readonly name = "DeviceRefused";
}

/** WireGuard does not answer. */
export class DeviceUnreachable extends Error {
  override readonly name = "DeviceUnreachable";
}

/** What a device answers. Throws {@link EngineUnreachable} when it does not. */
export async function reached<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof DeviceUnreachable) throw new EngineUnreachable(error.message, { cause: error });
    throw error;
  }
}

import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";

/** Users who follow from their numbers, beginning with `from`: all on the same inbounds. */
export interface MadeUsers {
  readonly count: number;
  readonly tags: readonly string[];
  readonly from?: number;
  /** They have keys and addresses of WireGuard, all the others than those of another generation. Absent: VLESS. */
  readonly wireGuardGeneration?: number;
}

/** Makes users, with all the empty messages that panels send along. */
export function users({ count, tags, from = 0, wireGuardGeneration: generation }: MadeUsers): User[] {
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    const proxies = {
      vless: generation === undefined ? { id: idOf(number) } : {},
      vmess: {},
      trojan: {},
      shadowsocks: {},
      wireguard: generation === undefined ? {} : { publicKey: keyOf(number, generation), peerIps: [addressOf(number)] },
      hysteria: {},
    };
    return create(UserSchema, { email: emailOf(number), inbounds: [...tags], proxies });
  });
}

/** The e-mail of a user. */
export function emailOf(number: number): string {
  return `${number}.user`;
}

/** The credential of a user. */
export function idOf(number: number): string {
  return `${number.toString(16).padStart(8, "0")}-0000-4000-8000-${number.toString(16).padStart(12, "0")}`;
}

/** The key of a user of WireGuard: of one whose private key nobody has. */
export function keyOf(number: number, generation: number): string {
  return createHash("sha256").update(`${number}.${generation}`).digest("base64");
}

/** The address of a user of WireGuard. */
export function addressOf(number: number): string {
  return `10.${64 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}/32`;
}

import { create } from "@bufbuild/protobuf";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";

/** Users who follow from their numbers, beginning with `from`: all on the same inbounds. */
export interface MadeUsers {
  readonly count: number;
  readonly tags: readonly string[];
  readonly from?: number;
}

/** Makes users of VLESS, with all the empty messages that panels send along. */
export function users({ count, tags, from = 0 }: MadeUsers): User[] {
  return Array.from({ length: count }, (_, index) => {
    const number = from + index;
    const proxies = {
      vless: { id: idOf(number) },
      vmess: {},
      trojan: {},
      shadowsocks: {},
      wireguard: {},
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

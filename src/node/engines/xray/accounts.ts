import { createHash, randomBytes } from "node:crypto";
import { create, type DescMessage } from "@bufbuild/protobuf";
import type { User } from "../../../../gen/service/node_pb.ts";
import { type TypedMessage, TypedMessageSchema } from "../../../../gen/xray/common/serial/typed_message_pb.ts";
import { AccountSchema as HysteriaSchema } from "../../../../gen/xray/proxy/hysteria/account/account_pb.ts";
import { CipherType, AccountSchema as ShadowsocksSchema } from "../../../../gen/xray/proxy/shadowsocks/account_pb.ts";
import { AccountSchema as Shadowsocks2022Schema } from "../../../../gen/xray/proxy/shadowsocks_2022/account_pb.ts";
import { AccountSchema as TrojanSchema } from "../../../../gen/xray/proxy/trojan/account_pb.ts";
import { AccountSchema as VlessSchema } from "../../../../gen/xray/proxy/vless/account_pb.ts";
import { AccountSchema as VmessSchema } from "../../../../gen/xray/proxy/vmess/account_pb.ts";
import { createEncoder } from "./encoder.ts";
import { getField, type Json, type JsonObject } from "./json-object.ts";

/** What Xray knows of a user on an inbound. */
export interface Account {
  readonly email: string;
  /** UUID, password or key. */
  readonly secret: string;
  /** The flow of VLESS, the cipher of Shadowsocks; else empty. */
  readonly detail: string;
}

/**
 * How an inbound's users are written. Inbounds whose users look the same share one, so that a user on fifty of them has
 * one account.
 */
export interface AccountKind {
  /** The user's account, or why there can be none. The reason contains no credential. */
  account(user: User): Account | string;
  /** By which the protocol finds its user. Xray loses both accounts when one of two with the same identity goes. */
  identity(account: Account): string;
  /** A number that is the same for the same identity and seldom for another one: it costs less to make and to keep. */
  likeness(account: Account): number;
  /** The account as an entry of `settings.clients`. */
  client(account: Account): JsonObject;
  /** The account as it goes through the API. */
  message(account: Account): TypedMessage;
  /** A client that must stand in the config when there are no users. */
  placeholder?(): JsonObject;
  /** Xray makes the inbound's whole table of users anew for each one that comes or goes. */
  readonly rebuildsTable?: boolean;
}

/** A function that knows the account kinds of one config: the same protocol and settings give the same object. */
export function createAccountKinds(): (protocol: string, settings: JsonObject) => AccountKind | undefined {
  const kinds = new Map<string, AccountKind>();
  return (protocol, settings) => {
    const maker = makers.get(protocol.toLowerCase());
    if (maker === undefined) return undefined;
    const key = JSON.stringify([protocol.toLowerCase(), maker.parameters.map((name) => getField(settings, name))]);
    const kind = kinds.get(key) ?? maker.make(settings);
    if (kind !== undefined) kinds.set(key, kind);
    return kind;
  };
}

/** Two accounts that make no difference to Xray. */
export function sameAccount(a: Account, b: Account): boolean {
  return a.email === b.email && a.secret === b.secret && a.detail === b.detail;
}

/**
 * The key of a Shadowsocks-2022 user: the password itself where it is base64 of the right length, else made from it by
 * SHA-256. Clients do the same.
 */
export function shadowsocks2022Key(password: string, keyBytes: 16 | 32): string {
  const isKey = /^[A-Za-z0-9+/]+={0,2}$/.test(password) && password.length === 4 * Math.ceil(keyBytes / 3);
  if (isKey && Buffer.from(password, "base64").length === keyBytes) return password;
  return createHash("sha256").update(password).digest().subarray(0, keyBytes).toString("base64");
}

interface Maker {
  /** The settings that make a difference. */
  readonly parameters: readonly string[];
  /** The kind, or undefined when an inbound with these settings has no users of its own. */
  make(settings: JsonObject): AccountKind | undefined;
}

// By the protocol's name in the config, in lower case.
const makers = new Map<string, Maker>(
  Object.entries({
    vless: {
      parameters: ["flow", "testseed"],
      make(settings) {
        const inboundFlow = textOf(getField(settings, "flow"));
        const testseed = numbersOf(getField(settings, "testseed"));
        return {
          account({ email, proxies }) {
            const id = canonicalUuid(proxies?.vless?.id ?? "");
            if (id === undefined) return proxies?.vless?.id ? "vless id is not a UUID" : "no vless id";
            // Through the API Xray does not fill in the inbound's flow: so that a user is the same either way, we do.
            const flow = inboundFlow || (proxies?.vless?.flow ?? "");
            if (flow !== "" && flow !== vision) return "vless flow is unknown";
            return { email, secret: id, detail: flow === "" ? "" : vision };
          },
          identity: ({ secret }) => `${secret.slice(0, 14)}${secret.slice(18)}`,
          likeness: ({ secret }) => hashOf(secret, 14, 18),
          client: ({ email, secret, detail }) => ({ id: secret, flow: detail, email, level: 0 }),
          message: ({ secret, detail }) => vlessAccount({ id: secret, flow: detail, testseed }),
        };
      },
    },
    vmess: {
      parameters: [],
      make: () => ({
        account({ email, proxies }) {
          const id = canonicalUuid(proxies?.vmess?.id ?? "");
          if (id === undefined) return proxies?.vmess?.id ? "vmess id is not a UUID" : "no vmess id";
          if (email.includes(unremovable)) return `vmess could not remove an e-mail with ${unremovable}`;
          return { email, secret: id, detail: "" };
        },
        identity: bySecret,
        likeness: ({ secret }) => hashOf(secret),
        client: ({ email, secret }) => ({ id: secret, email, level: 0 }),
        message: ({ secret }) => vmessAccount({ id: secret }),
      }),
    },
    trojan: {
      parameters: [],
      make: () => ({
        account({ email, proxies }) {
          const password = proxies?.trojan?.password ?? "";
          if (password === "") return "no trojan password";
          return { email, secret: password, detail: "" };
        },
        identity: bySecret,
        likeness: ({ secret }) => hashOf(secret),
        client: ({ email, secret }) => ({ password: secret, email, level: 0 }),
        message: ({ secret }) => trojanAccount({ password: secret }),
      }),
    },
    shadowsocks: {
      parameters: ["method"],
      make(settings) {
        const method = textOf(getField(settings, "method"));
        if (!method.startsWith("2022-blake3")) return shadowsocks;
        const keyBytes = shadowsocks2022KeyBytes[method];
        return keyBytes === undefined ? undefined : shadowsocks2022(keyBytes);
      },
    },
    hysteria: {
      parameters: [],
      make: () => ({
        account({ email, proxies }) {
          const auth = proxies?.hysteria?.auth ?? "";
          if (auth === "") return "no hysteria password";
          return { email, secret: auth, detail: "" };
        },
        identity: bySecret,
        likeness: ({ secret }) => hashOf(secret),
        client: ({ email, secret }) => ({ auth: secret, email, level: 0 }),
        message: ({ secret }) => hysteriaAccount({ auth: secret }),
      }),
    },
  }),
);

const shadowsocks: AccountKind = {
  account({ email, proxies }) {
    const password = proxies?.shadowsocks?.password ?? "";
    if (password === "") return "no shadowsocks password";
    const method = (proxies?.shadowsocks?.method ?? "").toLowerCase();
    if (!Object.hasOwn(ciphers, method)) return "shadowsocks cipher is unknown";
    if (email.includes(unremovable)) return `shadowsocks could not remove an e-mail with ${unremovable}`;
    return { email, secret: password, detail: method };
  },
  identity: bySecret,
  likeness: ({ secret }) => hashOf(secret),
  client: ({ email, secret, detail }) => ({ password: secret, method: detail, email, level: 0 }),
  message: ({ secret, detail }) => shadowsocksAccount({ password: secret, cipherType: ciphers[detail] }),
};

/** Makes the function that puts an account of one type into the message in which the API takes accounts of all types. */
function typedAs<D extends DescMessage>(
  schema: D,
): (...fields: Parameters<ReturnType<typeof createEncoder<D>>>) => TypedMessage {
  const encode = createEncoder(schema);
  return (fields) => create(TypedMessageSchema, { type: schema.typeName, value: encode(fields) });
}

const vlessAccount = typedAs(VlessSchema);
const vmessAccount = typedAs(VmessSchema);
const trojanAccount = typedAs(TrojanSchema);
const shadowsocksAccount = typedAs(ShadowsocksSchema);
const shadowsocks2022Account = typedAs(Shadowsocks2022Schema);
const hysteriaAccount = typedAs(HysteriaSchema);

const vision = "xtls-rprx-vision";

/** The letter whose small one Xray does not take for the same: it looks for the small one, and the user would stay. */
const unremovable = "İ";

const ciphers: Record<string, CipherType> = {
  "aes-128-gcm": CipherType.AES_128_GCM,
  "aes-256-gcm": CipherType.AES_256_GCM,
  "chacha20-poly1305": CipherType.CHACHA20_POLY1305,
  "chacha20-ietf-poly1305": CipherType.CHACHA20_POLY1305,
  "xchacha20-poly1305": CipherType.XCHACHA20_POLY1305,
  "xchacha20-ietf-poly1305": CipherType.XCHACHA20_POLY1305,
};

/** Nobody's: its key is random, and forgotten. */
export const placeholderEmail = "garrison-placeholder";

// The third method, 2022-blake3-chacha20-poly1305, knows no users: only the inbound's own key.
const shadowsocks2022KeyBytes: Record<string, 16 | 32> = {
  "2022-blake3-aes-128-gcm": 16,
  "2022-blake3-aes-256-gcm": 32,
};

function shadowsocks2022(keyBytes: 16 | 32): AccountKind {
  return {
    account({ email, proxies }) {
      const password = proxies?.shadowsocks?.password ?? "";
      if (password === "") return "no shadowsocks password";
      const key = shadowsocks2022Key(password, keyBytes);
      return { email, secret: key, detail: "" };
    },
    identity: bySecret,
    likeness: ({ secret }) => hashOf(secret),
    client: ({ email, secret }) => ({ password: secret, email, level: 0 }),
    message: ({ secret }) => shadowsocks2022Account({ key: secret }),
    rebuildsTable: true,
    // Without any client Xray opens a server to which the inbound's own key gives access, and that never takes users.
    placeholder: () => ({ email: placeholderEmail, password: randomBytes(keyBytes).toString("base64") }),
  };
}

function bySecret({ secret }: Account): string {
  return secret;
}

/** A small integer that depends on every character of a text but those from one place to another. */
function hashOf(text: string, without = text.length, upTo = text.length): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index += 1) {
    if (index === without) index = upTo;
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 2;
}

/** A UUID in any of its usual spellings, in the one with hyphens and small letters. */
function canonicalUuid(text: string): string | undefined {
  if (canonicalForm.test(text)) return text;
  const hex =
    /^(?:urn:uuid:)?(\{)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})(\})?$/i.exec(text);
  if (hex === null || (hex[1] === undefined) !== (hex[7] === undefined)) return undefined;
  return hex.slice(2, 7).join("-").toLowerCase();
}

const canonicalForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function textOf(value: Json | undefined): string {
  return typeof value === "string" ? value : "";
}

function numbersOf(value: Json | undefined): number[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === "number") : [];
}

import { hashOf, isCredential, makeCredential } from "./hashed-secret.ts";
import { createMemory } from "./memory.ts";

/** What a credential of an operator opens: the spellings of `Scope` in the contract. `*` is everything. */
export const operatorScopes = [
  "*",
  "nodes:read",
  "nodes:write",
  "users:read",
  "users:write",
  "usage:read",
  "operators:read",
  "operators:write",
  "audit:read",
] as const;
/** One of {@link operatorScopes}. To write in an area includes to read there. */
export type OperatorScope = (typeof operatorScopes)[number];

/** An operator, or a program that acts for one. */
export interface Operator {
  /** As the audit log names it: `operator-key:7`. */
  readonly actor: string;
  readonly scopes: readonly OperatorScope[];
}

/** Tells by a credential who calls. Core's own keys are one kind; tokens of the Auth service are to be another. */
export interface OperatorVerifier {
  /** Undefined when the credential is not known here, or no longer valid. */
  verify(credential: string): Promise<Operator | undefined>;
}

/** No operator has this credential. */
export class OperatorUnknown extends Error {
  override readonly name = "OperatorUnknown";

  constructor() {
    super("the API key is missing, unknown, expired or revoked: send it as Authorization: Bearer <key>");
  }
}

/** A key as it is listed: never the key itself. Times are milliseconds since 1970. */
export interface OperatorKey {
  readonly id: number;
  readonly name: string;
  readonly scopes: readonly OperatorScope[];
  readonly createdAt: number;
  /** Null: never. */
  readonly expiresAt: number | null;
  /** Null: not yet. Up to a minute behind. */
  readonly lastUsedAt: number | null;
  readonly revokedAt: number | null;
}

/** What a new key is made of. */
export interface NewOperatorKey {
  /** What it is for: at most 128 characters. */
  readonly name: string;
  readonly scopes: readonly OperatorScope[];
  /** Milliseconds since 1970; null: never. */
  readonly expiresAt: number | null;
}

/** Core's own keys for operators. */
export interface OperatorKeys extends OperatorVerifier {
  /** Makes a key, which is told this once. */
  create(key: NewOperatorKey): Promise<{ id: number; key: string }>;
  list(): Promise<OperatorKey[]>;
  /** Makes a key worthless, in all replicas. False when there is none of this id. */
  revoke(id: number): Promise<boolean>;
  /** Keys have changed, elsewhere: looks at them anew. */
  changed(): void;
}

/** A key for the store. */
interface HashedOperatorKey extends NewOperatorKey {
  readonly hash: Uint8Array;
  readonly createdAt: number;
}

/** What the keys of operators ask of a store. Whatever changes a key is told to all replicas. */
export interface OperatorKeyStore {
  find(hash: Uint8Array): Promise<OperatorKey | undefined>;
  /** The id of the new key. */
  add(key: HashedOperatorKey): Promise<number>;
  /** Adds the key only if there was never one. False when there was. */
  addFirst(key: HashedOperatorKey): Promise<boolean>;
  list(): Promise<OperatorKey[]>;
  /** Notes that a key was used. */
  use(id: number, at: number): Promise<void>;
  /** False when there is none of this id. */
  revoke(id: number, at: number): Promise<boolean>;
}

/** Options of {@link createOperatorKeys}. */
export interface OperatorKeysOptions {
  store: OperatorKeyStore;
  /** Milliseconds since 1970. */
  now: () => number;
}

// How long a key that was revoked elsewhere may still be taken when the word of it is lost; and how far behind the time
// of last use may be.
const rememberedMs = 30_000;
const mostRemembered = 1_000;

/** Keys that are looked up by their hash, and remembered for a short while. */
export function createOperatorKeys({ store, now }: OperatorKeysOptions): OperatorKeys {
  const memory = createMemory<OperatorKey>({
    async load(hash) {
      const found = await store.find(Buffer.from(hash, "hex"));
      if (found !== undefined && isValid(found, now())) await store.use(found.id, now());
      return found;
    },
    ttlMs: rememberedMs,
    capacity: mostRemembered,
    now,
  });
  return {
    async verify(text) {
      if (!isCredential("ok_", text)) return undefined;
      const key = await memory.get(hashOf(text).toString("hex"));
      if (key === undefined || !isValid(key, now())) return undefined;
      return { actor: `operator-key:${key.id}`, scopes: key.scopes };
    },
    async create(key) {
      const { text, hash } = makeCredential("ok_");
      return { id: await store.add({ ...key, hash, createdAt: now() }), key: text };
    },
    list: () => store.list(),
    async revoke(id) {
      const revoked = await store.revoke(id, now());
      memory.forget();
      return revoked;
    },
    changed: () => memory.forget(),
  };
}

/** The key of the first operator, who may do everything and makes the others, as the store keeps it. */
export function firstOperatorKey(text: string, now: number): HashedOperatorKey {
  return { name: "first", scopes: ["*"], expiresAt: null, hash: hashOf(text), createdAt: now };
}

function isValid({ expiresAt, revokedAt }: OperatorKey, now: number): boolean {
  return revokedAt === null && (expiresAt === null || expiresAt > now);
}

/** Whether scopes that were given include the one that is needed. */
export function includesScope(given: readonly OperatorScope[], needed: OperatorScope): boolean {
  const names: readonly string[] = given;
  return names.includes("*") || names.includes(needed) || names.includes(needed.replace(/:read$/, ":write"));
}

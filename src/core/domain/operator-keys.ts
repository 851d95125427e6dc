import { hexHashOf, isCredential } from "./hashed-secret.ts";
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

/** Core's own keys for operators. */
export interface OperatorKeys extends OperatorVerifier {
  /** Keys have changed: looks at them anew. */
  changed(): void;
}

/** A key as it is kept. Times are milliseconds since 1970. */
interface StoredOperatorKey {
  readonly id: number;
  readonly scopes: readonly OperatorScope[];
  /** Null: never. */
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

/** What the keys of operators ask of a store. */
export interface OperatorKeyStore {
  find(hash: Uint8Array): Promise<StoredOperatorKey | undefined>;
  /** Notes that a key was used. */
  use(id: number, at: number): Promise<void>;
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
  const memory = createMemory<StoredOperatorKey>({
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
      const key = await memory.get(hexHashOf(text));
      if (key === undefined || !isValid(key, now())) return undefined;
      return { actor: `operator-key:${key.id}`, scopes: key.scopes };
    },
    changed: () => memory.forget(),
  };
}

function isValid({ expiresAt, revokedAt }: StoredOperatorKey, now: number): boolean {
  return revokedAt === null && (expiresAt === null || expiresAt > now);
}

/** Whether scopes that were given include the one that is needed. */
export function includesScope(given: readonly OperatorScope[], needed: OperatorScope): boolean {
  const names: readonly string[] = given;
  return names.includes("*") || names.includes(needed) || names.includes(needed.replace(/:read$/, ":write"));
}

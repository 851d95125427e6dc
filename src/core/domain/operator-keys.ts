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
}

/** Whether scopes that were given include the one that is needed. */
export function includesScope(given: readonly OperatorScope[], needed: OperatorScope): boolean {
  const names: readonly string[] = given;
  return names.includes("*") || names.includes(needed) || names.includes(needed.replace(/:read$/, ":write"));
}

import { type Scope, ScopeSchema } from "../../../../gen/garrison/core/v1/scope_pb.ts";
import { type OperatorScope, operatorScopes } from "../../domain/operator-keys.ts";
import { wordsOf } from "./message-values.ts";

/** Scopes as rows and the domain have them. */
export function scopeWords(scopes: readonly Scope[]): OperatorScope[] {
  const given = scopes.map((scope) => words.word(scope));
  return operatorScopes.filter((scope) => given.includes(scope));
}

/** Scopes as messages have them. */
export function scopesOf(given: readonly OperatorScope[]): Scope[] {
  return given.map((scope) => words.value(scope));
}

const words = wordsOf(ScopeSchema);

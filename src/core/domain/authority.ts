import { type AuthorityKeyPair, createAuthority } from "../../platform/identity/authority.ts";

/** What Core's authority asks of a store, which all replicas share. */
export interface AuthorityStore {
  load(): Promise<AuthorityKeyPair | undefined>;
  /** Keeps it, unless another one is kept already. */
  keep(authority: AuthorityKeyPair, at: number): Promise<void>;
}

/** Core's own authority, which is made once. Replicas that start together agree on one. */
export async function openAuthority(store: AuthorityStore, now: () => number): Promise<AuthorityKeyPair> {
  const kept = await store.load();
  if (kept !== undefined) return kept;
  await store.keep(createAuthority("Garrison Core CA", new Date(now())), now());
  const first = await store.load();
  if (first === undefined) throw new Error("the authority that was just made is not kept");
  return first;
}

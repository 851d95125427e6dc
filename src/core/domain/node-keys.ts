import { hexHashOf, isCredential, makeCredential } from "./hashed-secret.ts";
import { createMemory } from "./memory.ts";

/** A node that has shown its key. */
export interface NodeCaller {
  readonly nodeId: number;
  readonly keyId: number;
}

/** A key that replaces another one. */
interface RotatedKey {
  readonly key: string;
  /** When the old one ends unless the new one was used before, in milliseconds since 1970. */
  readonly oldKeyEndsAt: number;
}

/** The keys of nodes. */
export interface NodeKeys {
  /**
   * Whose key it is; at once where it was asked a moment ago. The first use of a key ends all others of its node.
   *
   * @throws NodeKeyUnknown, NodeKeyRevoked
   */
  verify(key: string): NodeCaller | Promise<NodeCaller>;
  /**
   * Makes the caller's next key. Those that were made a moment ago are as good, for nobody knows which of several answers
   * the node has got: the one that is used first ends the others.
   *
   * @throws NodeKeyRevoked when one was used meanwhile
   */
  rotate(caller: NodeCaller): Promise<RotatedKey>;
  /** Makes all keys of a node worthless, in all replicas: it has to register again. */
  revokeAll(nodeId: number): Promise<void>;
  /** Tells when the key that a caller has shown is worth nothing any more, as long as the call takes. */
  follow(caller: NodeCaller): FollowedKey;
  /** The keys of a node have changed, elsewhere: looks at them anew. Without a node, at all. */
  changed(nodeId?: number): void;
}

/** A key that a call goes on with. */
interface FollowedKey {
  /** Aborts when the key has ended, or it cannot be found out whether it has. */
  readonly ended: AbortSignal;
  close(): void;
}

/** A key as it is kept. Times are milliseconds since 1970. */
interface StoredNodeKey extends NodeCaller {
  /** Null: nobody has called with it yet. */
  readonly firstUsedAt: number | null;
  /** Null: it does not expire. */
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

/** What the keys of nodes ask of a store. Whatever changes a key is told to all replicas. */
export interface NodeKeyStore {
  find(hash: Uint8Array): Promise<StoredNodeKey | undefined>;
  /** Those of the keys that are there and were not revoked. */
  goodAmong(keyIds: readonly number[]): Promise<ReadonlySet<number>>;
  /** Notes the first use of a key, once. It revokes all others of its node, whose wish for another key is so fulfilled. */
  use(caller: NodeCaller, at: number): Promise<void>;
  /**
   * Adds a key, revokes those that were made before `unusedSince` and never used, and lets the caller's end, unless it
   * does so already.
   *
   * @returns when the caller's key ends; undefined when it has been revoked meanwhile, and nothing was done
   */
  rotate(
    caller: NodeCaller,
    next: { hash: Uint8Array; at: number; callersEndsAt: number; unusedSince: number },
  ): Promise<number | undefined>;
  revokeAll(nodeId: number, at: number): Promise<void>;
}

/** Options of {@link createNodeKeys}. */
export interface NodeKeysOptions {
  store: NodeKeyStore;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** Nobody has this key. */
export class NodeKeyUnknown extends Error {
  override readonly name = "NodeKeyUnknown";

  constructor() {
    super("the node's key is missing or unknown: send it as x-node-auth-key, or enrol the node again");
  }
}

/** The key was valid once. */
export class NodeKeyRevoked extends Error {
  override readonly name = "NodeKeyRevoked";

  constructor() {
    super("the node's key was revoked or replaced: enrol the node again with a new code");
  }
}

const overlapMs = 24 * 3_600_000;
/** No call is under way for so long: who asks again has not got what was answered before that. */
const answeredMs = 10 * 60_000;
// How long a key that was revoked elsewhere may still be taken when the word of it is lost.
const rememberedMs = 30_000;
const mostRemembered = 20_000;

/** Keys that are looked up by their hash, and remembered for a short while. */
export function createNodeKeys({ store, now }: NodeKeysOptions): NodeKeys {
  const memory = createMemory<StoredNodeKey>({
    load: (hash) => store.find(Buffer.from(hash, "hex")),
    ttlMs: rememberedMs,
    capacity: mostRemembered,
    now,
  });

  function judge(key: StoredNodeKey | undefined): NodeCaller | Promise<NodeCaller> {
    if (key === undefined) throw new NodeKeyUnknown();
    const at = now();
    if (key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= at)) throw new NodeKeyRevoked();
    return key.firstUsedAt === null ? firstUse(key, at) : key;
  }

  async function firstUse(key: NodeCaller, at: number): Promise<NodeCaller> {
    await store.use(key, at);
    changed(key.nodeId);
    return key;
  }

  const followed = new Set<{ readonly caller: NodeCaller; readonly end: AbortController }>();

  function changed(nodeId?: number): void {
    memory.forget((key) => nodeId === undefined || key.nodeId === nodeId);
    const concerned = [...followed].filter(({ caller }) => nodeId === undefined || caller.nodeId === nodeId);
    if (concerned.length === 0) return;
    const endAllBut = (good: ReadonlySet<number>) => {
      for (const { caller, end } of concerned) if (!good.has(caller.keyId)) end.abort();
    };
    store.goodAmong(concerned.map(({ caller }) => caller.keyId)).then(endAllBut, () => endAllBut(new Set()));
  }

  return {
    verify(text) {
      if (!isCredential("nk_", text)) throw new NodeKeyUnknown();
      const found = memory.get(hexHashOf(text));
      return found instanceof Promise ? found.then(judge) : judge(found);
    },
    async rotate(caller) {
      const { text, hash } = makeCredential("nk_");
      const at = now();
      const next = { hash, at, callersEndsAt: at + overlapMs, unusedSince: at - answeredMs };
      const oldKeyEndsAt = await store.rotate(caller, next);
      changed(caller.nodeId);
      if (oldKeyEndsAt === undefined) throw new NodeKeyRevoked();
      return { key: text, oldKeyEndsAt };
    },
    async revokeAll(nodeId) {
      await store.revokeAll(nodeId, now());
      changed(nodeId);
    },
    follow(caller) {
      const one = { caller, end: new AbortController() };
      followed.add(one);
      return { ended: one.end.signal, close: () => void followed.delete(one) };
    },
    changed,
  };
}

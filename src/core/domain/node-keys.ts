/** A node that has shown its key. */
export interface NodeCaller {
  readonly nodeId: number;
  readonly keyId: number;
}

/** A key that replaces another one. */
export interface RotatedKey {
  readonly key: string;
  /** When the old one ends unless the new one was used before, in milliseconds since 1970. */
  readonly oldKeyEndsAt: number;
}

/** The keys of nodes. */
export interface NodeKeys {
  /**
   * Whose key it is. The first use of a key ends the one that it replaces.
   *
   * @throws NodeKeyUnknown, NodeKeyRevoked
   */
  verify(key: string): Promise<NodeCaller>;
  /** Makes the caller's next key. One that was made before and never used is void. */
  rotate(caller: NodeCaller): Promise<RotatedKey>;
  /** Makes all keys of a node worthless, in all replicas: it has to register again. */
  revokeAll(nodeId: number): Promise<void>;
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

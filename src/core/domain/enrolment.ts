import type { RegisterRequest } from "../../../gen/garrison/core/v1/node_agent_pb.ts";

/** What a code is made for. */
export interface NewEnrolmentCode {
  /** A node that is known already, and will be the one who registers with it. Absent: it makes a new node. */
  readonly nodeId?: number;
  /** The region of the node, whatever the agent says. Absent: what the agent says. */
  readonly region?: string;
  /** Milliseconds that it can be used for. Default: an hour. */
  readonly validForMs?: number;
}

/** A code as it is shown, once. */
export interface ShownEnrolmentCode {
  readonly id: number;
  /** The one string that an agent needs: URLs, code and the digest of the certificate of Core's CA. */
  readonly text: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

/** A node that has just registered. */
export interface RegisteredNode {
  readonly nodeId: number;
  /** Shown this once. */
  readonly key: string;
}

/** How servers become nodes. */
export interface Enrolment {
  /** @throws NodeMissing */
  createCode(code: NewEnrolmentCode): Promise<ShownEnrolmentCode>;
  /** Makes a code worthless. False when it was used, or there is none of this id. */
  revokeCode(id: number): Promise<boolean>;
  /** @throws EnrolmentCodeInvalid, NodeNameTaken */
  register(request: RegisterRequest): Promise<RegisteredNode>;
}

/** A code that is unknown, expired, used or revoked: it is not said which. */
export class EnrolmentCodeInvalid extends Error {
  override readonly name = "EnrolmentCodeInvalid";

  constructor() {
    super("the enrolment code is not valid: codes work once and for a limited time; have another one made");
  }
}

/** Another node has the name. The code can still be used. */
export class NodeNameTaken extends Error {
  override readonly name = "NodeNameTaken";

  constructor(name: string) {
    super(
      `there is a node named ${JSON.stringify(name)} already: choose another name, or use a code made for that node`,
    );
  }
}

/** There is no such node. */
export class NodeMissing extends Error {
  override readonly name = "NodeMissing";

  constructor(nodeId: number) {
    super(`there is no node ${nodeId}`);
  }
}

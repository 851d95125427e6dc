import type { RegisterRequest } from "../../../gen/garrison/core/v1/node_agent_pb.ts";
import { secretOf, writeEnrolmentCode } from "../../platform/identity/enrolment-code.ts";
import { hashOf, makeCredential } from "./hashed-secret.ts";

/** A node that has just registered. */
interface RegisteredNode {
  readonly nodeId: number;
  /** Shown this once. */
  readonly key: string;
}

/** How servers become nodes. */
export interface Enrolment {
  /** The one string that an agent needs, of the secret in it: URLs, secret, and the digest of Core's authority. */
  codeText(secret: string): string;
  /**
   * Makes a node, or a known one again, of a code, once; and once more for an agent whose answer was lost.
   *
   * @throws EnrolmentCodeInvalid, NodeNameTaken
   */
  register(request: RegisterRequest): Promise<RegisteredNode>;
}

/** A code as it is kept. Times are milliseconds since 1970. */
export interface StoredEnrolmentCode {
  readonly id: number;
  /** The node that it is for; null: it makes a new one. */
  readonly nodeId: number | null;
  /** Empty: what the agent says. */
  readonly region: string;
  readonly revokedAt: number | null;
  /** Null: it was not used yet. */
  readonly usedAt: number | null;
  readonly usedByNodeId: number | null;
  readonly usedByInstallId: string;
}

/** What an agent tells of its node, and Core notes. Empty, or 0: not told. */
export type NodeFacts = Pick<
  RegisterRequest,
  "host" | "ip" | "domain" | "port" | "region" | "installId" | "agentVersion" | "protocolVersion" | "capabilities"
>;

/** What enrolment asks of a store. */
export interface EnrolmentStore {
  findCode(hash: Uint8Array): Promise<StoredEnrolmentCode | undefined>;
  /** All of `work` or nothing; it may be called again when it conflicts with others. */
  transaction<T>(work: (steps: RegistrationSteps) => Promise<T>): Promise<T>;
}

/** The steps of a registration, in one transaction. */
export interface RegistrationSteps {
  /** Uses a code up, at once and for all; undefined when it is not one that can be used. */
  useCode(hash: Uint8Array, at: number, installId: string): Promise<StoredEnrolmentCode | undefined>;
  findCode(hash: Uint8Array): Promise<StoredEnrolmentCode | undefined>;
  /** Throws NodeNameTaken. */
  addNode(name: string, facts: NodeFacts, at: number): Promise<number>;
  /** What is known of its place stays, but for the address, unless an operator has pinned it. */
  updateNode(nodeId: number, facts: NodeFacts, at: number): Promise<void>;
  noteRegistration(codeId: number, nodeId: number, at: number): Promise<void>;
  /** The node has called with a key that it still has. */
  hasUsedKey(nodeId: number): Promise<boolean>;
  /** Makes all keys of the node void, and adds one. */
  replaceKeys(nodeId: number, hash: Uint8Array, at: number): Promise<void>;
}

/** Options of {@link createEnrolment}. */
export interface EnrolmentOptions {
  store: EnrolmentStore;
  /** Where agents reach Core, best first. */
  urls: () => readonly string[];
  /** SHA-256 of the certificate of Core's authority. Undefined: Core's certificate is somebody else's. */
  caSha256: string | undefined;
  /** A node has registered: it needs a config. */
  onRegistered: (nodeId: number) => void;
  /** Milliseconds since 1970. */
  now: () => number;
}

/** How long an agent may ask again whose answer was lost. */
const answerAgainMs = 10 * 60_000;

/** Enrols servers over a store. */
export function createEnrolment({ store, urls, caSha256, onRegistered, now }: EnrolmentOptions): Enrolment {
  return {
    codeText: (secret) => writeEnrolmentCode({ secret, urls: urls(), caSha256 }),
    async register(request) {
      const secret = secretOf(request.code.trim());
      if (secret === undefined) throw new EnrolmentCodeInvalid();
      const codeHash = hashOf(secret);
      // Reading costs others nothing: who guesses shall not make them wait.
      if ((await store.findCode(codeHash)) === undefined) throw new EnrolmentCodeInvalid();
      const { text: key, hash } = makeCredential("nk_");
      const at = now();
      const nodeId = await store.transaction(async (steps) => {
        const code = await steps.useCode(codeHash, at, request.installId);
        const nodeId =
          code === undefined
            ? await registerAgain(steps, await steps.findCode(codeHash), request, at)
            : await registerFirst(steps, code, request, at);
        await steps.replaceKeys(nodeId, hash, at);
        return nodeId;
      });
      onRegistered(nodeId);
      return { nodeId, key };
    },
  };
}

async function registerFirst(
  steps: RegistrationSteps,
  code: StoredEnrolmentCode,
  request: RegisterRequest,
  at: number,
): Promise<number> {
  const facts = { ...request, region: request.region || code.region };
  const nodeId = code.nodeId ?? (await steps.addNode(request.name, facts, at));
  if (code.nodeId !== null) await steps.updateNode(nodeId, facts, at);
  await steps.noteRegistration(code.id, nodeId, at);
  return nodeId;
}

/** Who has used the code up, and did not get the answer, may ask again: the key in it was never used. */
async function registerAgain(
  steps: RegistrationSteps,
  code: StoredEnrolmentCode | undefined,
  request: RegisterRequest,
  at: number,
): Promise<number> {
  const nodeId = code?.usedByNodeId ?? null;
  const isSameAgent = request.installId !== "" && code?.usedByInstallId === request.installId;
  const isSoon = code?.usedAt != null && at - code.usedAt <= answerAgainMs && code.revokedAt === null;
  if (code === undefined || nodeId === null || !isSameAgent || !isSoon || (await steps.hasUsedKey(nodeId)))
    throw new EnrolmentCodeInvalid();
  await steps.updateNode(nodeId, { ...request, region: request.region || code.region }, at);
  return nodeId;
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

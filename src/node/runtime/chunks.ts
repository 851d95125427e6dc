import type { User, UsersChunk } from "../../../gen/service/node_pb.ts";

/** How much of one chunked upload is held at once. */
export interface ChunkLimits {
  maxUsers: number;
  /** What the chunks amount to, in bytes, roughly. */
  maxBytes: number;
}

/** Four times the largest node that is measured (50,000 users, about 11 MB); in memory it takes some ten times as much. */
export const defaultChunkLimits: ChunkLimits = { maxUsers: 200_000, maxBytes: 64 * 1024 * 1024 };

/** The chunks do not make a whole set of users. */
export class IncompleteChunks extends Error {
  override readonly name = "IncompleteChunks";
}

/** One upload holds more than the node is willing to hold. */
export class ChunksTooLarge extends Error {
  override readonly name = "ChunksTooLarge";

  constructor(limits: ChunkLimits) {
    super(`one upload may hold ${limits.maxUsers} users and ${limits.maxBytes} bytes: send the users in several calls`);
  }
}

/**
 * Puts the users of chunks together in the order of the chunks' index; chunks of one index are appended to one another.
 * Reads up to the first chunk with `last`, whose index is the last that counts, and nothing after it.
 *
 * @throws IncompleteChunks without a last chunk, with an index missing, or without any user.
 * @throws ChunksTooLarge beyond the limits.
 */
export async function assembleChunks(
  chunks: AsyncIterable<UsersChunk>,
  limits: ChunkLimits = defaultChunkLimits,
): Promise<User[]> {
  const usersByIndex = new Map<bigint, User[]>();
  let users = 0;
  let bytes = 0;
  for await (const chunk of chunks) {
    users += chunk.users.length;
    bytes += sizeOf(chunk);
    if (users > limits.maxUsers || bytes > limits.maxBytes) throw new ChunksTooLarge(limits);
    const sameIndex = usersByIndex.get(chunk.index);
    if (sameIndex === undefined) usersByIndex.set(chunk.index, chunk.users);
    else for (const user of chunk.users) sameIndex.push(user);
    if (chunk.last) return concatenate(usersByIndex, chunk.index);
  }
  throw new IncompleteChunks("missing final chunk indicator");
}

function concatenate(usersByIndex: Map<bigint, User[]>, lastIndex: bigint): User[] {
  const parts: User[][] = [];
  for (let index = 0n; index <= lastIndex; index += 1n) {
    const part = usersByIndex.get(index);
    if (part === undefined) throw new IncompleteChunks(`missing chunk index ${index}`);
    parts.push(part);
  }
  const users = parts.flat();
  if (users.length === 0) throw new IncompleteChunks("no users received");
  return users;
}

// A rough measure on purpose: an exact one encodes the chunk again, at three times the cost. Everything counts for
// something, or an endless stream of empty chunks would never reach a limit; unknown fields are part of a message.
function sizeOf(value: unknown): number {
  if (typeof value === "string") return value.length + 2;
  if (typeof value !== "object" || value === null) return 2;
  if (value instanceof Uint8Array) return value.length;
  let bytes = 2;
  if (Array.isArray(value)) for (const part of value) bytes += sizeOf(part);
  else for (const name in value) bytes += sizeOf((value as Record<string, unknown>)[name]); // by its own names
  return bytes;
}

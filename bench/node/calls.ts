import { create, type DescMethod, toBinary } from "@bufbuild/protobuf";
import {
  BackendSchema,
  BackendType,
  NodeService,
  StatRequestSchema,
  StatType,
  type User,
  UsersChunkSchema,
  UsersSchema,
} from "../../gen/service/node_pb.ts";
import { type MadeUsers, users } from "./made-users.ts";

/** A call of the node, told by what it is made of, so that it can be made elsewhere. */
export type CallTask =
  | {
      readonly call: "start";
      /** Default: Xray. */
      readonly type?: BackendType;
      readonly config: string;
      readonly users: readonly MadeUsers[];
    }
  | { readonly call: "syncUsers" | "syncUsersChunked"; readonly users: readonly MadeUsers[] }
  | { readonly call: "usersStat" };

/** A call as it goes over the wire. */
export interface EncodedCall {
  readonly path: string;
  /** All its messages, each with its prefix. */
  readonly body: Buffer;
}

/** Encodes a call. Chunks are as panels send them: 1,000 users each. */
export function encodeCall(task: CallTask): EncodedCall {
  const { start, syncUsers, syncUsersChunked, getStats } = NodeService.method;
  if (task.call === "usersStat")
    return encoded(getStats, [toBinary(StatRequestSchema, create(StatRequestSchema, { type: StatType.UsersStat }))]);
  const all = task.users.flatMap(users);
  switch (task.call) {
    case "start": {
      const { type = BackendType.XRAY, config } = task;
      return encoded(start, [toBinary(BackendSchema, create(BackendSchema, { type, config, users: all }))]);
    }
    case "syncUsers":
      return encoded(syncUsers, [toBinary(UsersSchema, create(UsersSchema, { users: all }))]);
    case "syncUsersChunked":
      return encoded(syncUsersChunked, chunks(all));
  }
}

const chunkUsers = 1_000;

function chunks(all: readonly User[]): Uint8Array[] {
  return Array.from({ length: Math.max(1, Math.ceil(all.length / chunkUsers)) }, (_, index) => {
    const some = all.slice(index * chunkUsers, (index + 1) * chunkUsers);
    const last = (index + 1) * chunkUsers >= all.length;
    return toBinary(UsersChunkSchema, create(UsersChunkSchema, { index: BigInt(index), users: some, last }));
  });
}

function encoded(method: DescMethod, messages: readonly Uint8Array[]): EncodedCall {
  const parts = messages.flatMap((message) => {
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    return [prefix, message];
  });
  return { path: `/${method.parent.typeName}/${method.name}`, body: Buffer.concat(parts) };
}

import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ReportErrorRequest, ReportErrorRequestSchema } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import type { Database } from "../../../platform/storage/database.ts";
import type { SpoolSchema } from "./schema.ts";

/** Faults that Core has not been told of, on disk. */
export interface KeptFaults {
  /** All of them, the oldest first. */
  read(): Promise<readonly KeptFault[]>;
  /** Keeps one, in the place of the one with the same id. */
  keep(fault: KeptFault): Promise<void>;
  forget(id: number): Promise<void>;
}

/** A fault that is kept. */
export interface KeptFault {
  /** Higher than those of all that came before. */
  readonly id: number;
  readonly request: ReportErrorRequest;
}

/** Keeps them in the spool. */
export function createKeptFaults({ db }: Database<SpoolSchema>): KeptFaults {
  return {
    async read() {
      const rows = await db.selectFrom("fault").selectAll().orderBy("id").execute();
      return rows.map(({ id, request }) => ({ id, request: fromBinary(ReportErrorRequestSchema, request) }));
    },
    async keep({ id, request }) {
      const bytes = toBinary(ReportErrorRequestSchema, request);
      await db
        .insertInto("fault")
        .values({ id, request: bytes })
        .onConflict((conflict) => conflict.column("id").doUpdateSet({ request: bytes }))
        .execute();
    },
    async forget(id) {
      await db.deleteFrom("fault").where("id", "=", id).execute();
    },
  };
}

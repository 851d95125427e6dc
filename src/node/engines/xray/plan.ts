import type { XrayConfig } from "./config.ts";
import type { XrayProgram } from "./process.ts";
import type { UserTable } from "./users.ts";

/** What is to run, now and after every exit. */
export interface Plan {
  /** Names the plan through all changes that the running Xray follows. */
  readonly id: string;
  /** What its start said of silent callers, in seconds: nothing that matters to Xray. */
  readonly keepAlive: bigint;
  readonly program: XrayProgram;
  readonly config: XrayConfig;
  readonly table: UserTable;
}

import type { XrayConfig } from "./config.ts";
import type { XrayProgram } from "./process.ts";
import type { UserTable } from "./users.ts";

/** What is to run, now and after every exit. */
export interface Plan {
  readonly program: XrayProgram;
  readonly config: XrayConfig;
  readonly table: UserTable;
}

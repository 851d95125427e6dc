import { constants } from "node:fs";
import { anyText, baseUrl, port } from "../../platform/config/value-types.ts";
import { optional, type Values, type ValueType } from "../../platform/config/variables.ts";
import { isFile } from "../../platform/is-file.ts";
import { installVariables } from "../engines/install/install-variables.ts";

/** A program and its arguments. */
export type CommandLine = readonly [program: string, ...args: string[]];

// No quotes and no shell: what an argument is shall be plain to see.
const commandLine: ValueType<CommandLine> = anyText
  .transform((text): CommandLine => {
    const [program = "", ...args] = text.trim().split(/\s+/);
    return [program, ...args];
  })
  .refine(([program]) => program.startsWith("/") && isFile(program, constants.X_OK))
  .describe("the absolute path of an executable file, and its arguments, separated by blanks");

/** The variables of the maintenance API. */
export const maintenanceVariables = {
  API_PORT: optional(port, {
    about:
      "The TCP port of the maintenance API: updates of node, Xray and geodata, and a restart, with the node's key and " +
      "certificate. While another program has it, such as the original's maintenance service, the node does without.",
    absent: "the API is not served",
  }),
  GARRISON_UPDATE_COMMAND: optional(commandLine, {
    about:
      "What updates the node when the maintenance API is asked to. No shell sees it; it may restart the node; what it " +
      "says is kept in `update.log` beside the node's key.",
    absent: "such requests are refused",
  }),
  GARRISON_GEO_MIRROR: optional(baseUrl("https", "http"), {
    about:
      "Where geodata are that the maintenance API is asked for: a directory with `<region>/geoip.dat` and " +
      "`<region>/geosite.dat`, each with its digest beside it in `<name>.sha256sum`.",
    absent: "the releases of a project of each region",
  }),
  GARRISON_XRAY_MIRROR: installVariables.GARRISON_XRAY_MIRROR,
};

/** Settings of the maintenance API. */
export interface MaintenanceSettings {
  /** 0: one that is free. */
  readonly port: number;
  /** What updates the node. */
  readonly updateCommand: CommandLine | undefined;
  /** Where releases of Xray are. */
  readonly xrayMirror: string | undefined;
  /** Where geodata are. */
  readonly geoMirror: string | undefined;
}

/** Shapes the values of {@link maintenanceVariables}. Undefined: the API is not served. */
export function maintenanceSettings(values: Values<typeof maintenanceVariables>): MaintenanceSettings | undefined {
  if (values.API_PORT === undefined) return undefined;
  return {
    port: values.API_PORT,
    updateCommand: values.GARRISON_UPDATE_COMMAND,
    xrayMirror: values.GARRISON_XRAY_MIRROR,
    geoMirror: values.GARRISON_GEO_MIRROR,
  };
}

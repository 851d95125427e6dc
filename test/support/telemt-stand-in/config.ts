import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parse } from "smol-toml";
import { z } from "zod";

// What the stand-in reads of a config. All else is telemt's own business.
const listener = z.object({ ip: z.string(), port: z.number().optional() });
const table = <T extends z.ZodType>(value: T) => z.record(z.string(), value).default({});
const configSchema = z.object({
  general: z
    .object({ modes: z.object({ classic: z.boolean(), secure: z.boolean(), tls: z.boolean() }).partial() })
    .partial()
    .default({}),
  server: z.object({
    port: z.number().default(443),
    metrics_listen: z.string().optional(),
    listeners: z.array(listener).default([]),
    api: z
      .object({
        enabled: z.boolean().default(true),
        listen: z.string().default("0.0.0.0:9091"),
        whitelist: z.array(z.string()).default(["127.0.0.0/8"]),
        auth_header: z.string().default(""),
        read_only: z.boolean().default(false),
      })
      .prefault({}),
  }),
  censorship: z
    .object({ tls_domain: z.string().default(""), tls_domains: z.array(z.string()).default([]) })
    .prefault({}),
  access: z
    .object({
      users: table(z.string().regex(/^[0-9a-fA-F]{32}$/)),
      user_enabled: table(z.boolean()),
      user_max_tcp_conns: table(z.number()),
      user_max_unique_ips: table(z.number()),
      user_data_quota: table(z.number()),
      user_rate_limits: table(z.object({ up_bps: z.number(), down_bps: z.number() })),
    })
    .prefault({}),
  dc_overrides: table(z.union([z.string(), z.array(z.string())])),
});

/** A config of telemt. */
export type StandInConfig = z.infer<typeof configSchema>;

/** Reads a config with the files that it includes. Throws with words like telemt's. */
export function loadConfig(path: string): { config: StandInConfig; files: string[] } {
  const files: string[] = [];
  const text = withIncluded(path, files);
  let tables: unknown;
  try {
    tables = parse(text);
  } catch (error) {
    throw new Error(`Config error: TOML parse error: ${error instanceof Error ? error.message : error}`);
  }
  const { data: config, error } = configSchema.safeParse(tables);
  if (config === undefined) throw new Error(`Config error: ${z.prettifyError(error)}`);
  if (Object.keys(config.access.users).length === 0) throw new Error("Config error: No users configured");
  return { config, files };
}

/** A line that names a file stands for what is in it. */
function withIncluded(path: string, files: string[]): string {
  files.push(path);
  const lines = readFileSync(path, "utf8").split("\n");
  return lines
    .map((line) => {
      const included = /^\s*include\s*=\s*"?([^"]*)"?\s*$/.exec(line)?.[1];
      return included === undefined ? line : withIncluded(join(dirname(path), included), files);
    })
    .join("\n");
}

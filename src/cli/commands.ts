import type { Command } from "./command.ts";

/** A command by name. It is loaded only when it is called: each service brings much that the others do not need. */
export interface CommandEntry {
  readonly summary: string;
  load(): Promise<Command>;
}

/** All that `garrison` can do. */
export const commands: Readonly<Record<string, CommandEntry>> = {
  node: {
    summary: "run the node: drives the proxy engines of this server",
    load: async () => (await import("./node.ts")).nodeCommand,
  },
  core: {
    summary: "run Core: what the nodes of a fleet report to, and the API to manage it",
    load: async () => (await import("./core.ts")).coreCommand,
  },
  up: {
    summary: "run all services, each in a process of its own",
    load: async () => (await import("./up.ts")).upCommand,
  },
  engines: {
    summary: "install the programs that the node drives, or list them",
    load: async () => (await import("./engines.ts")).enginesCommand,
  },
  cert: {
    summary: "show, make or replace the certificate of the node",
    load: async () => (await import("./cert.ts")).certCommand,
  },
  version: {
    summary: "print the version",
    load: async () => (await import("./version.ts")).versionCommand,
  },
};

/** What `garrison --help` prints. */
export function overview(): string {
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
  return [
    "Usage: garrison <command> [options]",
    "",
    "Commands:",
    ...rows,
    "",
    "garrison <command> --help says more, and names the environment variables that the command reads.",
    "A file .env in the working directory completes the environment.",
    "",
  ].join("\n");
}

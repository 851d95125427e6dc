import { SettingsRefused } from "../platform/config/variables.ts";
import { exitWrongUse, helpOf, parseInvocation, type Surroundings, WrongUsage } from "./command.ts";
import { commands, overview } from "./commands.ts";

/** Runs a command line, without the program's own name, and returns the exit code. */
export async function run(args: readonly string[], surroundings: Surroundings): Promise<number> {
  const [name = "help", ...rest] = args;
  if (["help", "--help", "-h"].includes(name)) return runHelp(rest, args.length > 0, surroundings);
  if (name === "--version") return run(["version", ...rest], surroundings);
  try {
    const command = await entryOf(name).load();
    const invocation = parseInvocation(command, rest);
    if (invocation !== undefined) return await command.run(invocation, surroundings);
    surroundings.stdout.write(helpOf(command));
    return 0;
  } catch (error) {
    return complain(name, error, surroundings);
  }
}

async function runHelp([name]: readonly string[], asked: boolean, surroundings: Surroundings): Promise<number> {
  if (name !== undefined) return run([name, "--help"], surroundings);
  // Without a command nothing was done, which a script has to notice.
  (asked ? surroundings.stdout : surroundings.stderr).write(overview());
  return asked ? 0 : exitWrongUse;
}

function entryOf(name: string) {
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry !== undefined) return entry;
  throw new WrongUsage(`there is no command '${name}'; there are ${Object.keys(commands).join(", ")}`);
}

function complain(name: string, error: unknown, { stderr }: Surroundings): number {
  const command = Object.hasOwn(commands, name) ? `garrison ${name}` : "garrison";
  if (error instanceof WrongUsage) {
    stderr.write(`${command}: ${error.message}\nSee ${command} --help\n`);
    return exitWrongUse;
  }
  if (error instanceof SettingsRefused) {
    stderr.write(`${command}: the settings are wrong:\n${error.problems.map((problem) => `  ${problem}\n`).join("")}`);
    return exitWrongUse;
  }
  stderr.write(
    `${command}: ${isSituation(error) ? error.message : (error instanceof Error && error.stack) || error}\n`,
  );
  return 1;
}

/** Errors that are named for a situation explain themselves; of all others the place in the code has to be known. */
function isSituation(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return Object.hasOwn(error, "name") || ("syscall" in error && "code" in error);
}

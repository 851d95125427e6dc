import { spawn } from "node:child_process";
import { once } from "node:events";
import { symlink } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cacheDir } from "../../src/node/engines/install/locate.ts";
import { run } from "./command.ts";
import { type ReadmeBlock, readmeBlocks } from "./readme.ts";
import { type RealNode, startRealNode } from "./real-node.ts";

const root = new URL("../..", import.meta.url).pathname;
const blocks = (await readmeBlocks()).filter(({ language }) => language === "sh");
const [preparation, ...examples] = blocks;

// What each example prints, in the README's order.
const printed = [
  /^service\.NodeService\/SyncUsersChunked$/m,
  /"started": *true/,
  /"started": *true/,
  /^$/,
  /^service\.User is a message:\nmessage User \{/,
  /^\{\}\s*$/,
  /^\{\}\s*$/,
  /"numGoroutine":/,
  /"coreVersion":/,
  /^Xray \d+\./,
];

describe("the README's examples, as they stand there", () => {
  let node: RealNode;
  let env: NodeJS.ProcessEnv;

  beforeAll(async () => {
    // It makes its key itself. Only the port is another one, which nobody else has, and what the README calls
    // `data/alone` is `data`.
    node = await startRealNode({ API_KEY: "" });
    await symlink(join(node.directory, "data"), join(node.directory, "data/alone"));
    for (const part of ["node_modules", "buf.yaml", "proto", "third_party"])
      await symlink(join(root, part), join(node.directory, part));
    const tools = join(cacheDir(process.env), "test/bin");
    env = { ...process.env, GOBIN: tools, PATH: [tools, process.env.PATH].join(delimiter) };
  });
  afterAll(() => node?.close());

  const script = ({ code }: ReadmeBlock) => `${preparation?.code}\nURL=${node.url}\n${code}`;
  const shell = ["-euo", "pipefail", "-c"];

  test("begin with what they need, and each is known here", () => {
    expect(preparation?.code).toMatch(/^URL=https:\/\/127\.0\.0\.1:62050$/m);
    expect(examples).toHaveLength(printed.length);
  });

  // Building grpcurl takes a while the first time.
  test.each(examples.map((example, index) => ({ first: example.code.split("\n", 1)[0], example, index })))(
    "$first",
    { timeout: 300_000 },
    async ({ example, index }) => {
      const output = example.note === "until-interrupted" ? await firstOutput(example) : await wholeOutput(example);
      expect(output).toMatch(printed[index] ?? /(?!)/);
    },
  );

  const wholeOutput = (example: ReadmeBlock) => run("bash", [...shell, script(example)], { cwd: node.directory, env });

  // Until Ctrl-C, which reaches the shell and all that it runs.
  const firstOutput = async (example: ReadmeBlock) => {
    const child = spawn("bash", [...shell, script(example)], {
      cwd: node.directory,
      env,
      detached: true,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [output] = await once(child.stdout, "data");
    process.kill(-(child.pid ?? Number.NaN), "SIGINT");
    await once(child, "close");
    return String(output);
  };
});

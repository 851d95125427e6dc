import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "./command.ts";
import { readmeBlocks } from "./readme.ts";
import { type RealNode, startRealNode } from "./real-node.ts";

const root = new URL("../..", import.meta.url).pathname;
const bin = join(root, "node_modules/.bin");
const installMs = 300_000;
const readmeExample = async () => (await readmeBlocks()).find(({ language }) => language === "ts")?.code ?? "";

// What a consumer's own project says; its libraries are checked too.
const tsconfig = {
  compilerOptions: { module: "nodenext", target: "esnext", strict: true, noEmit: true, types: ["node"] },
  files: ["example.ts"],
};

describe("the package, packed and installed in a project of its own", () => {
  let directory: string;
  let node: RealNode;
  let env: NodeJS.ProcessEnv;
  const inProject = (command: string, ...args: string[]) => run(command, args, { cwd: directory, env });
  const write = (file: string, text: string) => writeFile(join(directory, file), text);

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "garrison-consumer-"));
    node = await startRealNode();
    env = { ...process.env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) };
    Object.assign(env, { URL: node.url, KEY: node.key, CERT: node.certificate });
    const { devDependencies, dependencies } = JSON.parse(await readFile(join(root, "package.json"), "utf8"));
    const packed = await run("npm", ["pack", "--silent", "--pack-destination", directory], { cwd: root, env });
    await write("package.json", JSON.stringify({ name: "consumer", private: true, type: "module" }));
    await write("tsconfig.json", JSON.stringify(tsconfig));
    const quick = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--silent"];
    const beside = [
      `@connectrpc/connect-node@${dependencies["@connectrpc/connect-node"]}`,
      `@types/node@${devDependencies["@types/node"]}`,
    ];
    await inProject("npm", "install", ...quick, `./${packed.trim()}`, ...beside);
  }, installMs);
  afterAll(async () => {
    await node?.close();
    if (directory) await rm(directory, { recursive: true });
  });

  test("runs the README's example with plain Node", async () => {
    const example = await readmeExample();
    await write("example.ts", example);
    expect(await inProject("node", "example.ts")).toContain("nodeVersion: '");
  });

  test("is typed", async () => {
    const example = await readmeExample();
    await write("example.ts", example);
    await inProject(join(bin, "tsc"), "-p", ".");
    await write("example.ts", `${example}\nawait node.syncUser({ email: "1" });\n`);
    await expect(inProject(join(bin, "tsc"), "-p", ".")).rejects.toThrow(/example\.ts\(\d+,\d+\): error TS2353/);
  });

  test("brings no sources that Node would refuse to run there", async () => {
    const sources = await inProject("find", "node_modules/garrison", "-name", "*.ts", "-not", "-name", "*.d.ts");
    expect(sources).toBe("");
  });
});

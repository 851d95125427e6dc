import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, userOf } from "../support/proxy-protocols.ts";
import { startNode } from "./harness.ts";

it("DEBUG writes the config that runs to GENERATED_CONFIG_PATH, and repeats Xray's log", async () => {
  const directory = await mkdtemp(join(tmpdir(), "garrison-compat-"));
  const node = await startNode({ DEBUG: "true", GENERATED_CONFIG_PATH: directory });
  onTestFinished(async () => {
    await node.close();
    await rm(directory, { recursive: true });
  });
  const user = userOf("1", "vless");
  await node.grpc.start({ config: nodeConfig(await freePorts(4)), users: [user] });
  const file = join(directory, "xray.json");
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readFile(file, "utf8")).toContain(user.proxies?.vless?.id);
  expect(node.log()).toContain("started");
});

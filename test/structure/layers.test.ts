import { spawnSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";

const root = new URL("../..", import.meta.url).pathname;
const planted = mkdtempSync(join(tmpdir(), "garrison-layers-"));
copyFileSync(join(root, "biome.json"), join(planted, "biome.json"));
afterAll(() => rmSync(planted, { recursive: true }));

/** Lints a file with one import, at a place of the tree, by the project's own rules. */
function lint(path: string, imported: string): { status: number | null; output: string } {
  const file = join(planted, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `import { x } from ${JSON.stringify(imported)};\n\nexport const y = x;\n`);
  const args = ["lint", "--colors=off", "--vcs-enabled=false", file];
  const { status, stdout, stderr } = spawnSync(join(root, "node_modules/.bin/biome"), args, {
    cwd: planted,
    encoding: "utf8",
  });
  return { status, output: stdout + stderr };
}

describe("the arrows point down only", () => {
  test.each([
    ["src/platform/rpc/planted.ts", "../../node/node.ts", "platform knows nothing about any one service"],
    ["src/platform/planted.ts", "../node/node.ts", "platform knows nothing about any one service"],
    ["src/platform/rpc/planted.ts", "../../../gen/service/node_pb.ts", "platform knows the REST options"],
    ["src/node/planted.ts", "../core/domain/quota.ts", "a service calls another through a generated client"],
    ["src/node/api/planted.ts", "../agent/agent.ts", "neither knows the other"],
    ["src/node/agent/planted.ts", "../api/gate.ts", "neither knows the other"],
    ["src/node/maintenance/planted.ts", "../api/gate.ts", "none knows another"],
    ["src/node/runtime/planted.ts", "../api/errors.ts", "runtime is below api and agent"],
    ["src/node/runtime/planted.ts", "../maintenance/jobs.ts", "runtime is below api and agent"],
    ["src/node/engines/xray/planted.ts", "../../runtime/users.ts", "engines are below runtime, api and agent"],
    ["src/node/engines/xray/planted.ts", "../wireguard/users.ts", "engines do not know one another"],
    ["src/node/engines/sockets/planted.ts", "../xray/users.ts", "engines do not know one another"],
    ["src/core/planted.ts", "../node/node.ts", "a service calls another through a generated client"],
    ["src/core/domain/planted.ts", "kysely", "domain knows no transport and no store"],
    ["src/core/domain/planted.ts", "../store/users.ts", "domain knows no transport and no store"],
  ])("%s may not import %s", (path, imported, reason) => {
    const { status, output } = lint(path, imported);
    expect(status).toBe(1);
    expect(output).toContain(reason);
  });

  test.each([
    ["src/platform/rpc/planted.ts", "../listener/peer.ts"],
    ["src/platform/rest/planted.ts", "../../../gen/garrison/rest/v1/rest_pb.ts"],
    ["src/node/api/planted.ts", "../runtime/users.ts"],
    ["src/node/maintenance/planted.ts", "../runtime/runtime.ts"],
    ["src/node/runtime/planted.ts", "../engines/engine.ts"],
    ["src/node/engines/xray/planted.ts", "../engine.ts"],
    ["src/node/agent/planted.ts", "../../../gen/garrison/core/v1/node_link_pb.ts"],
  ])("%s may import %s", (path, imported) => {
    expect(lint(path, imported).output).not.toContain("noRestrictedImports");
  });
});

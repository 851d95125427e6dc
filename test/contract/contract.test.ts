import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, test, vi } from "vitest";
import { accept } from "./acceptance.ts";
import { baselinePath, checkBaselineIsCurrent, checkChangelog } from "./baseline.ts";
import { buf, describe as describeImage, image } from "./buf.ts";
import { checkAgainstBaseline, checkAgainstPreviousCommit } from "./compatibility.ts";
import { checkGeneratedCode } from "./generated-code.ts";
import { misplacedRules } from "./validation-rules.ts";

const root = new URL("../..", import.meta.url).pathname;
const checkLint = (at: string) => buf(at, "lint");
const checkFormat = (at: string) => buf(at, "format", "-d", "--exit-code", "proto");
const checkRules = (at: string) => misplacedRules(describeImage(image(at)));

// Generating code starts several processes, which takes its time beside other suites.
vi.setConfig({ testTimeout: 120_000 });

describe("the contract", () => {
  test("follows the lint rules, comments included", () => expect(checkLint(root)).toEqual([]));
  test("is formatted", () => expect(checkFormat(root)).toEqual([]));
  test("is what the code in gen/ was generated from", () => expect(checkGeneratedCode(root)).toEqual([]));
  test("breaks no caller of the baseline", () => expect(checkAgainstBaseline(root)).toEqual([]));
  test("breaks no caller of the previous commit", () => expect(checkAgainstPreviousCommit(root)).toEqual([]));
  test("is protected by the baseline as a whole", () => expect(checkBaselineIsCurrent(root)).toEqual([]));
  test("has a baseline that the changelog explains", () => expect(checkChangelog(root)).toEqual([]));
  test("has no rules where handlers judge", () => expect(checkRules(root)).toEqual([]));
});

describe("the checks of the contract see", () => {
  const copy = mkdtempSync(join(tmpdir(), "garrison-contract-"));
  afterAll(() => rmSync(copy, { recursive: true }));
  beforeEach(() => {
    rmSync(copy, { recursive: true });
    for (const part of ["proto", "third_party", "gen", "buf.yaml", "buf.gen.yaml", "CHANGELOG.md"])
      cpSync(join(root, part), join(copy, part), { recursive: true });
    // Buf runs a plugin of ours from there, whose imports are found from where it really lies.
    symlinkSync(join(root, "scripts"), join(copy, "scripts"));
  });
  const edit = (path: string, from: string, to: string) => {
    const text = readFileSync(join(copy, path), "utf8");
    expect(text.split(from), `"${from}" is in ${path} once`).toHaveLength(2);
    writeFileSync(join(copy, path), text.replace(from, to));
  };
  const git = (...args: string[]) => execFileSync("git", args, { cwd: copy, stdio: "pipe" });
  const commit = () => {
    git("add", "-A");
    git("-c", "user.name=a", "-c", "user.email=a@localhost", "commit", "-qm", "a");
  };
  const node = "proto/service/node.proto";
  const agent = "proto/garrison/core/v1/node_agent.proto";

  test("another field number", () => {
    edit(node, "uint64 keep_alive = 4;", "uint64 keep_alive = 7;");
    expect(checkAgainstBaseline(copy).join("\n")).toMatch(
      /service\/node\.proto:.*field "4" with name "keep_alive" on message "Backend" was deleted/,
    );
  });

  test("a field that is gone", () => {
    edit(agent, "  int64 bytes_down = 5;\n", "");
    expect(checkAgainstBaseline(copy).join("\n")).toContain(
      'with name "bytes_down" on message "UsageEntry" was deleted',
    );
  });

  test("another path in REST, which is nothing to Buf", () => {
    edit(agent, 'path: "/node/outbound-usage"', 'path: "/node/outbounds/usage"');
    expect(checkAgainstBaseline(copy)).toEqual([
      "REST: POST /node/outbound-usage: the route of garrison.core.v1.NodeAgentService.ReportOutboundUsage is gone",
    ]);
  });

  test("another spelling in REST", () => {
    edit("proto/garrison/core/v1/vpn_protocol.proto", 'spelling = "trojan"', 'spelling = "torjan"');
    expect(checkAgainstBaseline(copy).join("\n")).toMatch(/^REST: .*trojan/);
  });

  test("another field number or path since the previous commit, unless the changelog says that it breaks", () => {
    git("init", "-q");
    commit();
    expect(checkAgainstPreviousCommit(copy), "there is no previous commit").toEqual([]);
    edit(node, "uint64 keep_alive = 4;", "uint64 keep_alive = 7;");
    edit(node, 'path: "/users/sync"', 'path: "/users"');
    commit();
    expect(checkAgainstPreviousCommit(copy).join("\n")).toContain('"keep_alive"');
    expect(checkAgainstPreviousCommit(copy).join("\n")).toContain("REST: PUT /users/sync: the route");
    edit("CHANGELOG.md", "### Contract\n\n", "### Contract\n\n- `0123456789abcdef` Moved a field.\n");
    expect(checkAgainstPreviousCommit(copy).join("\n")).toContain('"keep_alive"');
    edit("CHANGELOG.md", "` Moved", "` **Breaking:** Moved");
    expect(checkAgainstPreviousCommit(copy)).toEqual([]);
  });

  test("a new field that the baseline does not have", () => {
    edit(node, "string detail = 1;", "string detail = 1;\n  // When.\n  int64 at_ms = 2;");
    expect(checkAgainstBaseline(copy)).toEqual([]);
    expect(checkBaselineIsCurrent(copy).join("\n")).toContain("proto/service/node.proto is not as in");
  });

  test("no change of the contract in another comment", () => {
    edit(node, "// Follows the engine's log:", "// Follows the log of the engine:");
    expect(checkBaselineIsCurrent(copy)).toEqual([]);
    expect(checkGeneratedCode(copy).join("\n")).toContain("gen/service/node_pb.ts is stale");
  });

  test("a baseline that changes without a line in the changelog", () => {
    edit(node, "string detail = 1;", "string detail = 1;\n  // When.\n  int64 at_ms = 2;");
    writeFileSync(join(copy, baselinePath), image(copy));
    expect(checkBaselineIsCurrent(copy)).toEqual([]);
    expect(checkChangelog(copy).join("\n")).toContain("a baseline changes only together with a line that says why");
  });

  test("that a change was accepted, and that it breaks callers only on purpose", () => {
    edit(node, "uint64 keep_alive = 4;", "uint64 keep_alive = 7;");
    expect(accept(copy, "Moved a field.").join("\n")).toContain('"keep_alive"');
    expect(checkChangelog(copy)).toEqual([]);
    expect(checkBaselineIsCurrent(copy)).not.toEqual([]);
    expect(accept(copy, "Moved a field.", { breaking: true })).toEqual([]);
    expect([checkAgainstBaseline, checkBaselineIsCurrent, checkChangelog].flatMap((check) => check(copy))).toEqual([]);
    expect(readFileSync(join(copy, "CHANGELOG.md"), "utf8")).toMatch(/` \*\*Breaking:\*\* Moved a field\.\n- `/);
  });

  test("a missing comment on a service, call, message, field, enum or value", () => {
    const commented = [
      [/\/\/ Drives the proxy engines of one server\.\n/, "Service"],
      [/ {2}\/\/ The engine's routing rules, in their order\.[^;]*?\n(?= {2}rpc)/, "RPC"],
      [/\/\/ A log line\.\n/, "Message"],
      [/ {2}\/\/ The line, without its line end\.\n/, "Field"],
      [/\/\/ A kind of engine\.\n/, "Enum"],
      [/ {2}\/\/ WireGuard\.\n/, "Enum value"],
    ] as const;
    let text = readFileSync(join(copy, node), "utf8");
    for (const [comment] of commented) text = text.replace(comment, "");
    writeFileSync(join(copy, node), text);
    const findings = checkLint(copy).join("\n");
    for (const [, kind] of commented)
      expect(findings).toMatch(new RegExp(`:${kind} ".*" should have a non-empty comment`));
  });

  test("text that is not formatted", () => {
    edit(node, "string detail = 1;", "string  detail=1;");
    expect(checkFormat(copy).join("\n")).toContain("-  string  detail=1;");
  });

  test("rules in package service and on bulk entries", () => {
    const rule = "[(buf.validate.field).string.min_len = 1];";
    edit(node, 'import "garrison/', 'import "buf/validate/validate.proto";\nimport "garrison/');
    edit(node, "string detail = 1;", `string detail = 1 ${rule}`);
    edit(agent, "string recorded_at = 6;", `string recorded_at = 6 ${rule}`);
    expect(checkRules(copy).sort()).toEqual([
      "field garrison.core.v1.UsageEntry.recorded_at has rules",
      "field service.Log.detail has rules",
    ]);
  });
});

test("every exception from the lint rules is for a contract of others, and says why", () => {
  const exceptions = readFileSync(join(root, "buf.yaml"), "utf8").match(/ignore_only:\n([\s\S]*?)\n\w/)?.[1] ?? "";
  const lines = exceptions.split("\n");
  const named = lines.filter((line) => !line.trim().startsWith("#"));
  expect(named.length).toBeGreaterThan(0);
  for (const line of named) {
    expect(line).toMatch(/^ {4}[A-Z_]+: \[proto\/service(, proto\/xray)?\]$/);
    expect(lines[lines.indexOf(line) - 1], line).toMatch(/^ {4}# .+\.$/);
  }
  const sources = readdirSync(join(root, "proto"), { recursive: true, encoding: "utf8" });
  for (const source of sources.filter((path) => path.endsWith(".proto")))
    expect(readFileSync(join(root, "proto", source), "utf8"), source).not.toContain("buf:lint:ignore");
});

import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, test } from "vitest";
import { SettingsRefused } from "../platform/config/variables.ts";
import { run } from "./run.ts";

/** Runs a command line in this process, with an environment that cannot be read. */
async function finish(args: readonly string[]) {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const readEnv = () => Promise.reject(new SettingsRefused(["A is wrong", "B is wrong"]));
  const code = await run(args, { stdout, stderr, readEnv });
  stdout.end();
  stderr.end();
  return { code, stdout: await text(stdout), stderr: await text(stderr) };
}

describe("help", () => {
  test("names all commands", async () => {
    const { code, stdout } = await finish(["--help"]);
    expect(code).toBe(0);
    for (const name of ["node", "up", "engines", "cert", "version"])
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
    expect(await finish(["help"])).toEqual(await finish(["-h"]));
  });

  test.each(["node", "up", "engines", "cert", "version"])("of %s says how to call it", async (name) => {
    const { code, stdout, stderr } = await finish([name, "--help"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(new RegExp(`^Usage: garrison ${name}`));
    expect(stdout).toContain("--help");
    expect((await finish(["help", name])).stdout).toBe(stdout);
  });

  test("of the node names its variables with their defaults", async () => {
    const { stdout } = await finish(["node", "--help"]);
    expect(stdout).toMatch(/^ {2}SERVICE_PORT\n {6}The TCP port .*\n {6}Value: .*\. Default: 62050\.$/m);
    for (const name of ["API_KEY", "GARRISON_TLS", "GARRISON_DATA_DIR", "XRAY_EXECUTABLE_PATH"])
      expect(stdout).toContain(`\n  ${name}\n`);
  });
});

describe("a wrong command line ends with exit code 2, and says what is wrong and where help is", () => {
  test.each([
    [
      ["nod"],
      "garrison: there is no command 'nod'; there are node, core, up, engines, cert, version\nSee garrison --help\n",
    ],
    [
      ["constructor"],
      "garrison: there is no command 'constructor'; there are node, core, up, engines, cert, version\n",
    ],
    [["node", "--port", "1"], "garrison node: Unknown option '--port'\nSee garrison node --help\n"],
    [["node", "start"], "garrison node: unexpected argument 'start'\n"],
    [["node", "--examples=yes"], "garrison node: Option '--examples' does not take an argument\n"],
    [["node", "--data-dir"], "garrison node: Option '--data-dir <value>' argument missing\n"],
    [["up", "auth"], "garrison up: there is no service 'auth'; there are core, node\n"],
    [["engines"], "garrison engines: install or list?\n"],
    [["engines", "remove"], "garrison engines: there is no 'engines remove'\n"],
    [["engines", "install"], "garrison engines: which engine? there are xray, wireguard, sing-box, mihomo\n"],
    [
      ["engines", "install", "v2ray"],
      "garrison engines: there is no engine 'v2ray'; there are xray, wireguard, sing-box, mihomo\n",
    ],
    [["engines", "install", "xray", "--sha256", "abc"], "garrison engines: --sha256 takes 64 hex digits\n"],
    [["engines", "install", "xray", "--from", "apt"], "garrison engines: --from takes 'archive' or 'go', not 'apt'\n"],
    [["engines", "list", "xray"], "garrison engines: unexpected argument 'xray'\n"],
    [["cert"], "garrison cert: show, fingerprint or create?\n"],
    [["cert", "renew"], "garrison cert: there is no 'cert renew'\n"],
    [["version", "now"], "garrison version: unexpected argument 'now'\n"],
  ])("%j", async (args, complaint) => {
    const { code, stdout, stderr } = await finish(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.startsWith(complaint)).toBe(true);
    expect(stderr).toMatch(/\nSee garrison.* --help\n$/);
  });

  test("no command at all gets the overview, on stderr", async () => {
    const { code, stdout, stderr } = await finish([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^Usage: garrison <command>/);
  });
});

test("wrong settings are listed, each on a line, and exit code 2 says that starting again does not help", async () => {
  expect(await finish(["engines", "list"])).toEqual({
    code: 2,
    stdout: "",
    stderr: "garrison engines: the settings are wrong:\n  A is wrong\n  B is wrong\n",
  });
});

import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";
import { exchange, startByteTarget } from "../support/byte-target.ts";
import { childrenOf, isAlive } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { xrayPath } from "../xray-path.ts";
import { type Call, openPlace, type Place } from "./garrison.ts";

let place: Place;
beforeEach(async () => {
  place = await openPlace();
});
afterEach(() => place.close());

const key = "6ba1b9de-5c6b-4c9c-9d5d-0c2b1f2a7f10";
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
const keyPattern = /^ {4}([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/m;

/** Asks a node what it is, over Connect. The certificate is not looked at. */
function getBaseInfo(url: unknown, apiKey: string) {
  const result = spawnSync(
    "curl",
    [
      "-sk",
      "-H",
      `x-api-key: ${apiKey}`,
      "-H",
      "content-type: application/json",
      "-d",
      "{}",
      "-w",
      "\n%{http_code}",
    ].concat(`${url}/service.NodeService/GetBaseInfo`),
    { encoding: "utf8" },
  );
  const [body = "", status = ""] = result.stdout.split("\n");
  return { status: Number(status), body };
}

async function stopped(node: Call): Promise<void> {
  node.signal("SIGTERM");
  expect(await node.ended).toBe(0);
}

describe("a node without any settings of its own", () => {
  test("says in one line of JSON that it is ready, and logs to stderr only", async () => {
    const node = place.call(["node"]);
    const line = await node.ready();
    expect(line).toEqual({
      ready: true,
      service: "node",
      url: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/),
      fingerprint: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/),
    });
    expect(getBaseInfo(line.url, "").status).toBe(401);
    await stopped(node);
    expect(node.stdout().split("\n")).toEqual([JSON.stringify(line), ""]);
  });

  test("makes a key, prints it once and keeps it; so it does its certificate", async () => {
    const first = place.call(["node"]);
    const { url, fingerprint } = await first.ready();
    const made = keyPattern.exec(first.stderr())?.[1] ?? "";
    expect(made).not.toBe("");
    expect(getBaseInfo(url, made).status).toBe(200);
    await stopped(first);
    expect(first.stderr().split(made)).toHaveLength(2);
    expect(first.stdout()).not.toContain(made);

    const second = place.call(["node"]);
    const again = await second.ready();
    expect(again.fingerprint).toBe(fingerprint);
    expect(getBaseInfo(again.url, made).status).toBe(200);
    await stopped(second);
    expect(second.stderr() + second.stdout()).not.toContain(made);
  });

  test("keeps its directories at 0700 and the files in them at 0600", async () => {
    const node = place.call(["node"]);
    await node.ready();
    expect(await modeOf(place.dataDir)).toBe(0o700);
    const entries = await readdir(place.dataDir, { recursive: true, withFileTypes: true });
    const modes: Record<string, number> = {};
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      modes[path.slice(place.dataDir.length + 1)] = await modeOf(path);
    }
    expect(modes).toMatchObject({
      node: 0o700,
      "node/api-key": 0o600,
      certificate: 0o700,
      "certificate/cert.pem": 0o600,
      "certificate/key.pem": 0o600,
    });
    for (const entry of entries)
      expect(modes[join(entry.parentPath, entry.name).slice(place.dataDir.length + 1)]).toBe(
        entry.isDirectory() ? 0o700 : 0o600,
      );
  });

  test("keeps its data where --data-dir says, unless GARRISON_DATA_DIR does", async () => {
    const node = place.call(["node", "--data-dir", "here"], { GARRISON_DATA_DIR: undefined });
    await node.ready();
    expect(await readdir(join(place.directory, "here"))).toEqual(["certificate", "node"]);
    const other = place.call(["node", "--data-dir", "there"]);
    await other.ready();
    expect(existsSync(join(place.directory, "there"))).toBe(false);
    expect(existsSync(place.dataDir)).toBe(true);
  });
});

describe("settings", () => {
  test("come from a .env file as the original's installer writes it, and the environment wins", async () => {
    const [port, other] = await freePorts(2);
    await writeFile(
      join(place.directory, ".env"),
      `SERVICE_PORT= ${port}\nSERVICE_PROTOCOL= "rest"\nAPI_KEY= "${key}"\n`,
    );
    const node = place.call(["node"], { SERVICE_PORT: undefined });
    expect((await node.ready()).url).toBe(`https://127.0.0.1:${port}`);
    expect(getBaseInfo((await node.ready()).url, key).status).toBe(200);
    await stopped(node);
    const second = place.call(["node"], { SERVICE_PORT: String(other) });
    expect((await second.ready()).url).toBe(`https://127.0.0.1:${other}`);
  });

  test("that are wrong are all told, and exit code 2 says that starting again does not help", async () => {
    const env = { SERVICE_PORT: "http", API_KEY: `${key}0`, GARRISON_TLS: "perhaps" };
    const { code, stdout, stderr } = await place.finish(["node"], env);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toBe(
      [
        "garrison node: the settings are wrong:",
        '  SERVICE_PORT is "http": it must be a whole number from 0 to 65535',
        '  API_KEY is "6ba1…" (37 characters): it must be a UUID, and not the nil one',
        '  GARRISON_TLS is "perhaps": it must be `on` or `off` (also true, false, 1, 0, yes, no)',
        "",
      ].join("\n"),
    );
    expect(existsSync(place.dataDir)).toBe(false);
  });

  test.each([
    ["the nil UUID", "00000000-0000-0000-0000-000000000000"],
    ["the nil UUID in braces", "{00000000-0000-0000-0000-000000000000}"],
    ["no UUID", "open-sesame"],
  ])("with %s for a key are refused", async (_, apiKey) => {
    const { code, stderr } = await place.finish(["node"], { API_KEY: apiKey });
    expect(code).toBe(2);
    expect(stderr).toContain("it must be a UUID, and not the nil one");
    expect(stderr).not.toContain(apiKey);
  });

  test("that name a taken port get a clear error, and leave who has it alone", async () => {
    const server = createServer((socket) => socket.end("mine")).listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    const { code, stdout, stderr } = await place.finish(["node"], { SERVICE_PORT: String(port) });
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(
      `garrison node: SERVICE_PORT is "${port}": it is taken on 127.0.0.1: name another, or end the program that listens`,
    );
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(server.listening).toBe(true);
    server.close();
  });

  test("that name an address of another machine get a clear error", async () => {
    const { code, stderr } = await place.finish(["node"], { NODE_HOST: "192.0.2.1" });
    expect(code).toBe(1);
    expect(stderr).toContain('garrison node: NODE_HOST is "192.0.2.1": it must be an address of this machine');
  });

  test("that turn TLS off make it speak plain text, on this machine only", async () => {
    const node = place.call(["node"], { GARRISON_TLS: "off", NODE_HOST: "0.0.0.0", API_KEY: key });
    const line = await node.ready();
    expect(line).toEqual({
      ready: true,
      service: "node",
      url: expect.stringMatching(/^http:\/\/127/),
      fingerprint: null,
    });
    expect(getBaseInfo(line.url, key).status).toBe(200);
    expect(node.stderr()).toContain("TLS is off, so it listens on 127.0.0.1 only");
    expect(existsSync(join(place.dataDir, "certificate"))).toBe(false);
    expect(getBaseInfo(String(line.url).replace("127.0.0.1", "127.0.0.2"), key).status).toBe(0);
  });

  test("that allow plain text anywhere are obeyed, and the ready line names an address to call", async () => {
    const env = { GARRISON_TLS: "off", GARRISON_INSECURE: "1", NODE_HOST: "0.0.0.0", API_KEY: key };
    const line = await place.call(["node"], env).ready();
    expect(line.url).toMatch(/^http:\/\/127\.0\.0\.1:/);
    expect(getBaseInfo(String(line.url).replace("127.0.0.1", "127.0.0.2"), key).status).toBe(200);
  });

  test("that name a certificate have it served, and a changed file too, without a restart", async () => {
    const files = { SSL_CERT_FILE: join(place.directory, "c.pem"), SSL_KEY_FILE: join(place.directory, "k.pem") };
    const write = async () => {
      const made = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: ["127.0.0.1"], now: new Date() });
      await writeFile(files.SSL_KEY_FILE, made.key);
      await writeFile(files.SSL_CERT_FILE, made.cert);
      return made.fingerprint;
    };
    const first = await write();
    const node = place.call(["node"], { ...files, API_KEY: key });
    const { url, fingerprint } = await node.ready();
    expect(fingerprint).toBe(first);
    expect(existsSync(join(place.dataDir, "certificate"))).toBe(false);
    const second = await write();
    await vi.waitFor(() => expect(node.stderr()).toContain(second), 10_000);
    const trusting = ["-s", "--cacert", files.SSL_CERT_FILE, "-H", `x-api-key: ${key}`, `${url}/info`];
    expect(spawnSync("curl", trusting).status).toBe(0);
  });

  test("that name a certificate which has expired have it served, and that said", async () => {
    const files = { SSL_CERT_FILE: join(place.directory, "c.pem"), SSL_KEY_FILE: join(place.directory, "k.pem") };
    const write = async (now: Date) => {
      const names = { hostNames: ["localhost"], addresses: ["127.0.0.1"] };
      const made = createSelfSignedCertificate({ ...names, now, days: 30 });
      await writeFile(files.SSL_KEY_FILE, made.key);
      await writeFile(files.SSL_CERT_FILE, made.cert);
    };
    await write(new Date("2020-01-01T00:00:00Z"));
    const node = place.call(["node"], { ...files, API_KEY: key });
    await node.ready();
    expect(node.stderr()).toContain(
      "it is valid from 2019-12-31T00:00:00.000Z to 2020-01-31T00:00:00.000Z, and now it is",
    );
    await write(new Date());
    await vi.waitFor(() => expect(node.stderr()).toContain("the certificate has changed"), 10_000);
    await write(new Date("2100-01-01T00:00:00Z"));
    await vi.waitFor(() => expect(node.stderr()).toContain("it is valid from 2099-12-31T00:00:00.000Z"), 10_000);
  });

  test("that name a key of another certificate get a clear error", async () => {
    const make = () =>
      createSelfSignedCertificate({ hostNames: ["localhost"], addresses: ["127.0.0.1"], now: new Date() });
    const files = { SSL_CERT_FILE: join(place.directory, "c.pem"), SSL_KEY_FILE: join(place.directory, "k.pem") };
    await writeFile(files.SSL_CERT_FILE, make().cert);
    await writeFile(files.SSL_KEY_FILE, make().key);
    const { code, stderr } = await place.finish(["node"], files);
    expect(code).toBe(1);
    expect(stderr).toContain("k.pem is not the key of the certificate in ");
    expect(stderr).not.toMatch(/^\s+at /m);
  });

  test("that name a directory which others can see into, and that holds something, are refused", async () => {
    await mkdir(place.dataDir);
    await writeFile(join(place.dataDir, "page.html"), "");
    await chmod(place.dataDir, 0o755);
    const { code, stderr } = await place.finish(["node"]);
    expect(code).toBe(1);
    expect(stderr).toContain("it is open to other users (mode 0755); run `chmod 700` on it");
  });

  test("with a kept key that was spoilt are refused, with the file's name", async () => {
    await mkdir(join(place.dataDir, "node"), { recursive: true, mode: 0o700 });
    await writeFile(join(place.dataDir, "node/api-key"), "spoilt\n");
    const { code, stderr } = await place.finish(["node"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^garrison node: .*\/node\/api-key is "s…" \(6 characters\): it must be a random UUID/m);
  });
});

describe("the printed examples", () => {
  test("start Xray, add a user, and the share link's user gets bytes through, which the last one counts", async () => {
    const node = place.call(["node", "--examples"], { XRAY_EXECUTABLE_PATH: await xrayPath() });
    await node.ready();
    await vi.waitFor(() => expect(node.stderr()).toContain("/GetStats\n"));
    // The examples as they stand, but for the port of the inbound, which this machine may use for something else.
    const [port = 0] = await freePorts(1);
    const examples = node.stderr().slice(node.stderr().indexOf("# Call the node")).replaceAll("20443", String(port));
    const lastCall = examples.indexOf("# What has the user used?");
    const preamble = examples.slice(0, examples.indexOf("# What is it?"));
    const shell = (script: string) =>
      spawnSync("sh", ["-eu"], {
        input: script,
        encoding: "utf8",
        cwd: place.directory,
        env: { PATH: process.env.PATH },
      });

    const first = shell(examples.slice(0, lastCall));
    expect(first.stderr.replace(/^ .*$/gm, "")).not.toMatch(/error|refused/i);
    expect(first.status).toBe(0);
    expect(first.stdout.match(/"nodeVersion"/g)).toHaveLength(3);
    expect(first.stdout).toContain('"started":true,"coreVersion":"26.3.27"');
    const link = new URL(/^vless:\/\/.*$/m.exec(first.stdout)?.[0] ?? "");
    expect(Object.fromEntries(link.searchParams)).toEqual({ encryption: "none", security: "none", type: "tcp" });

    const vnext = [
      { address: link.hostname, port: Number(link.port), users: [{ id: link.username, encryption: "none" }] },
    ];
    const client = await startXrayClient([{ protocol: "vless", settings: { vnext } }]);
    const target = await startByteTarget();
    try {
      await exchange(client.proxyPorts[0] ?? 0, target, 1_000, 2_000);
    } finally {
      await client.close();
      await target.close();
    }
    const used = JSON.parse(shell(preamble + examples.slice(lastCall)).stdout);
    const bytes = Object.fromEntries(
      used.stats.map(({ type, value }: Record<string, string>) => [type, Number(value)]),
    );
    expect(used.stats.every(({ name }: { name: string }) => name === "1")).toBe(true);
    expect(bytes.uplink).toBeGreaterThanOrEqual(1_000);
    expect(bytes.downlink).toBeGreaterThanOrEqual(2_000);
  });

  test("use the key that the operator gave, and no certificate without TLS", async () => {
    const node = place.call(["node", "--examples"], { GARRISON_TLS: "off", API_KEY: key });
    await node.ready();
    await vi.waitFor(() => expect(node.stderr()).toContain("/GetStats\n"));
    const examples = node.stderr().slice(node.stderr().indexOf("# Call the node"));
    expect(examples).not.toContain(key);
    const question = examples.slice(0, examples.indexOf("# Start Xray"));
    const { status, stdout } = spawnSync("sh", ["-eu"], {
      input: question,
      encoding: "utf8",
      env: { PATH: process.env.PATH, API_KEY: key },
    });
    expect(status).toBe(0);
    expect(stdout.match(/"nodeVersion"/g)).toHaveLength(2);
  });
});

describe("a node leaves nothing running", () => {
  /** A node whose Xray runs, and the pid of that Xray. */
  async function nodeWithXray(): Promise<{ node: Call; xray: number }> {
    const node = place.call(["node"], { API_KEY: key, XRAY_EXECUTABLE_PATH: await xrayPath() });
    const { url } = await node.ready();
    const [port] = await freePorts(1);
    const config = JSON.stringify({
      inbounds: [
        { tag: "in", listen: "127.0.0.1", port, protocol: "vless", settings: { clients: [], decryption: "none" } },
      ],
      outbounds: [{ protocol: "freedom" }],
    });
    const header = ["-H", `x-api-key: ${key}`, "-H", "content-type: application/json"];
    const start = [
      "-sfk",
      ...header,
      "-d",
      JSON.stringify({ type: "XRAY", config }),
      `${url}/service.NodeService/Start`,
    ];
    expect(spawnSync("curl", start).status).toBe(0);
    const [xray = 0] = await xraysOf(node.pid);
    return { node, xray };
  }

  async function xraysOf(pid: number): Promise<number[]> {
    const children = await childrenOf(pid);
    const names = await Promise.all(
      children.map((child) => readFile(`/proc/${child}/cmdline`, "utf8").catch(() => "")),
    );
    return children.filter((_, index) => names[index]?.includes("xray"));
  }

  test.each(["SIGTERM", "SIGINT"] as const)("after %s", async (signal) => {
    const { node, xray } = await nodeWithXray();
    expect(await isAlive(xray)).toBe(true);
    const children = await childrenOf(node.pid);
    node.signal(signal);
    expect(await node.ended).toBe(0);
    expect(await Promise.all(children.map(isAlive))).toEqual(children.map(() => false));
  });

  test("when it is killed", async () => {
    const { node, xray } = await nodeWithXray();
    node.signal("SIGKILL");
    expect(await node.ended).toBe("SIGKILL");
    await vi.waitFor(async () => expect(await isAlive(xray)).toBe(false), 10_000);
  });
});

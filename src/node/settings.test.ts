import { existsSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Env } from "../platform/config/variables.ts";
import { SettingsRefused } from "../platform/config/variables.ts";
import { readNodeSettings } from "./settings.ts";

let files = "";
beforeAll(async () => {
  files = await mkdtemp(join(tmpdir(), "garrison-settings-"));
  for (const name of ["cert.pem", "key.pem", "xray"]) await writeFile(join(files, name), "");
  await chmod(join(files, "xray"), 0o755);
});
afterAll(() => rm(files, { recursive: true }));

const at = (name: string) => join(files, name);
const read = (env: Env) =>
  readNodeSettings({ GARRISON_CACHE_DIR: at("cache"), ...env }, { isRoot: false, home: "/home/ann" });
const problemsOf = async (env: Env) => {
  const refusal = await read(env).catch((error: unknown) => error);
  if (!(refusal instanceof SettingsRefused)) throw new Error(`not refused: ${JSON.stringify(refusal)}`);
  return refusal.problems;
};

test("without any variable the node has the original's defaults", async () => {
  expect(await read({})).toMatchObject({
    apiKey: undefined,
    generatedConfigDir: undefined,
    host: "0.0.0.0",
    port: 62050,
    tls: true,
    dataDir: "/home/ann/.local/share/garrison",
    logBufferLines: 10_000,
    startupLogLines: 200,
    keepAliveGraceMs: 0,
    kick: false,
    xray: { assets: "/usr/local/share/xray" },
    wireguard: { hostRouting: { masqueradeAll: false }, egressInterface: undefined, sampleSeconds: 10 },
    maintenance: undefined,
  });
});

test("every variable has its effect", async () => {
  const env = {
    SERVICE_PORT: "8443",
    NODE_HOST: "::",
    SERVICE_PROTOCOL: "rest",
    API_KEY: "7f9c2f4e-2f0b-4c0d-9f57-3a3f5a1f6f10",
    SSL_CERT_FILE: at("cert.pem"),
    SSL_KEY_FILE: at("key.pem"),
    XRAY_EXECUTABLE_PATH: at("xray"),
    XRAY_ASSETS_PATH: "/assets",
    TELEMT_PATH: at("xray"),
    GENERATED_CONFIG_PATH: "/generated",
    DEBUG: "true",
    LOG_BUFFER_SIZE: "5",
    STARTUP_LOG_TAIL_SIZE: "7",
    GARRISON_KEEP_ALIVE: "grace:90",
    GARRISON_KICK: "on",
    WIREGUARD_GO_PATH: at("xray"),
    PG_NODE_WG_NAT_OUTPUT_INTERFACE: "eth0.100",
    PG_NODE_WG_NAT_EGRESS_ONLY: "true",
    API_PORT: "62051",
    GARRISON_UPDATE_COMMAND: ` ${at("xray")}  update --quiet `,
    GARRISON_XRAY_MIRROR: "https://mirror/xray",
    GARRISON_GEO_MIRROR: "http://mirror/geo",
  };
  expect(await read(env)).toMatchObject({
    host: "::",
    port: 8443,
    apiKey: "7f9c2f4e-2f0b-4c0d-9f57-3a3f5a1f6f10",
    certificate: { certFile: at("cert.pem"), keyFile: at("key.pem") },
    xray: { executable: at("xray"), assets: "/assets" },
    telemt: at("xray"),
    generatedConfigDir: "/generated",
    logBufferLines: 5,
    startupLogLines: 7,
    keepAliveGraceMs: 90_000,
    kick: true,
    wireguard: { executable: at("xray"), hostRouting: { masqueradeAll: true }, egressInterface: "eth0.100" },
    maintenance: {
      port: 62051,
      updateCommand: [at("xray"), "update", "--quiet"],
      xrayMirror: "https://mirror/xray",
      geoMirror: "http://mirror/geo",
    },
    notes: [],
  });
});

test("a machine without Xray can have a node, which says what is missing", async () => {
  const { xray, notes } = await read({ PATH: at("nowhere") });
  expect(xray.executable).toBe("/usr/local/bin/xray");
  // The machine may have one there.
  const missing = ["Xray is not installed: run `garrison engines install xray`"];
  expect(notes).toEqual(existsSync("/usr/local/bin/xray") ? [] : missing);
});

test("LOG_BUFFER_SIZE may be larger than the memory, and counts as what fits", async () => {
  const { logBufferLines, startupLogLines } = await read({
    LOG_BUFFER_SIZE: "99999999999",
    STARTUP_LOG_TAIL_SIZE: "100001",
  });
  expect([logBufferLines, startupLogLines]).toEqual([100_000, 100_000]);
});

test("GARRISON_KEEP_ALIVE may keep a backend for ever", async () => {
  expect((await read({ GARRISON_KEEP_ALIVE: "never" })).keepAliveGraceMs).toBe(Number.POSITIVE_INFINITY);
});

test.each(["0", "-3"])("LOG_BUFFER_SIZE %s counts as 1, as in the original", async (size) => {
  expect((await read({ LOG_BUFFER_SIZE: size, STARTUP_LOG_TAIL_SIZE: size })).logBufferLines).toBe(1);
});

test("without TLS it listens on this machine only, and certificate files are left alone", async () => {
  const settings = await read({ GARRISON_TLS: "off", SSL_CERT_FILE: at("cert.pem") });
  expect(settings.host).toBe("127.0.0.1");
  expect(settings.certificate).toBeUndefined();
  expect(settings.notes).toContain("TLS is off, so it listens on 127.0.0.1 only; GARRISON_INSECURE=1 lifts that");
  expect((await read({ GARRISON_TLS: "off", GARRISON_INSECURE: "1" })).host).toBe("0.0.0.0");
});

test.each(["0", "false"])(
  "PG_NODE_WG_HOST_ROUTING=%s has the host's routing left alone, as in the original",
  async (off) => {
    expect((await read({ PG_NODE_WG_HOST_ROUTING: off })).wireguard.hostRouting).toBeUndefined();
  },
);

test.each([
  ["25", 25],
  ["0", 10],
  ["-3", 10],
  ["86400", 60],
])("STATS_UPDATE_INTERVAL_SECONDS=%s is taken as %i", async (given, taken) => {
  expect((await read({ STATS_UPDATE_INTERVAL_SECONDS: given })).wireguard.sampleSeconds).toBe(taken);
});

test("variables of the original's other program, and those without a purpose here, do no harm", async () => {
  const env = { ENV_FILE: "x", APP_NAME: "pg-node", STATS_CLEANUP_INTERVAL_SECONDS: "0" };
  expect(await read(env)).toEqual(await read({}));
});

describe("the node refuses to start, naming the variable, the value and what would be right", () => {
  test.each([
    ["SERVICE_PORT", "gRPC", 'SERVICE_PORT is "gRPC": it must be a whole number from 0 to 65535'],
    ["NODE_HOST", "example.org", 'NODE_HOST is "example.org": it must be an IPv4 or IPv6 address, not a name'],
    ["DEBUG", "maybe", 'DEBUG is "maybe": it must be `on` or `off` (also true, false, 1, 0, yes, no)'],
    [
      "LOG_BUFFER_SIZE",
      "1k",
      'LOG_BUFFER_SIZE is "1k": it must be a whole number; below 1 counts as 1, above 100000 as 100000',
    ],
    ...["90", "grace", "grace:", "grace:1.5", "grace:-1", "grace:1s", "Never", "never:5"].map((value) => [
      "GARRISON_KEEP_ALIVE",
      value,
      `GARRISON_KEEP_ALIVE is "${value}": it must be \`grace:<seconds>\` or \`never\``,
    ]),
    ["SSL_CERT_FILE", "/no/cert", 'SSL_CERT_FILE is "/no/cert": it must be the path of a file that can be read'],
    [
      "XRAY_EXECUTABLE_PATH",
      "/no/xray",
      'XRAY_EXECUTABLE_PATH is "/no/xray": it must be the path of an executable file',
    ],
    ...[" ", "a b", 'eth0" accept', "eth*", "../eth0", "sixteen-letters0"].map((value) => [
      "PG_NODE_WG_NAT_OUTPUT_INTERFACE",
      value,
      `PG_NODE_WG_NAT_OUTPUT_INTERFACE is ${JSON.stringify(value)}: ` +
        "it must be the name of a network interface: at most 15 letters, digits, `_`, `.` or `-`",
    ]),
    ["API_PORT", "x", 'API_PORT is "x": it must be a whole number from 0 to 65535'],
    ...["update", "./update", "/no/update", " "].map((value) => [
      "GARRISON_UPDATE_COMMAND",
      value,
      `GARRISON_UPDATE_COMMAND is "${value}": ` +
        "it must be the absolute path of an executable file, and its arguments, separated by blanks",
    ]),
    ["API_KEY", "secret", 'API_KEY is "s…" (6 characters): it must be a UUID, and not the nil one'],
    [
      "API_KEY",
      "00000000-0000-0000-0000-000000000000",
      'API_KEY is "0000…" (36 characters): it must be a UUID, and not the nil one',
    ],
  ])("%s=%s", async (name, value, problem) => {
    expect(await problemsOf({ [name]: value })).toEqual([problem]);
  });

  test("all at once", async () => {
    expect(await problemsOf({ SERVICE_PORT: "x", API_KEY: "x", GARRISON_TLS: "x" })).toHaveLength(3);
  });

  test("when a key is named without its certificate", async () => {
    expect(await problemsOf({ SSL_KEY_FILE: at("key.pem") })).toEqual([
      "SSL_CERT_FILE is not set, and /var/lib/pg-node/certs/ssl_cert.pem cannot be read: " +
        `it must name the certificate of ${at("key.pem")}`,
    ]);
  });
});

test("SSL_CERT_FILE alone names the authorities that OpenSSL trusts, on many machines, and no certificate of ours", async () => {
  const settings = await read({ SSL_CERT_FILE: at("cert.pem"), XRAY_EXECUTABLE_PATH: at("xray") });
  expect(settings.certificate).toBeUndefined();
  expect(settings.notes).toEqual([
    "SSL_CERT_FILE is set without SSL_KEY_FILE: it is taken for a list of authorities, and not used",
  ]);
});

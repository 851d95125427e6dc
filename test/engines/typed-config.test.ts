import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ConfigRefused } from "../../src/node/engines/engine-error.ts";
import { readTypedConfig } from "../../src/node/engines/xray/typed-config.ts";
import { nodeConfig, proxyProtocols } from "../support/proxy-protocols.ts";
import { xrayPath } from "../xray-path.ts";
import { until } from "./engine-under-test.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-typed-"));
});
afterAll(() => rm(directory, { recursive: true }));

const read = async (document: Iterable<string>, executable?: string, timeoutMs = 10_000) =>
  readTypedConfig({ executable: executable ?? (await xrayPath()), assets: "/", env: {} }, document, timeoutMs);

/** A program that stands in Xray's place. */
async function script(name: string, text: string): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, `#!/bin/sh\n${text}\n`, { mode: 0o700 });
  return path;
}

test("a document becomes messages, by tag", async () => {
  const rules = { routing: { rules: [{ outboundTag: "block", port: 1 }] } };
  const ports = proxyProtocols.map((_, index) => index + 1);
  const document = nodeConfig(ports).replaceAll('"settings":{}', '"settings":{"clients":[]}');
  const typed = await read([JSON.stringify({ ...JSON.parse(document), ...rules })]);
  expect([...typed.inbounds].map(([tag, { proxySettings }]) => [tag, proxySettings?.type])).toEqual([
    ["vless", "xray.proxy.vless.inbound.Config"],
    ["vmess", "xray.proxy.vmess.inbound.Config"],
    ["trojan", "xray.proxy.trojan.ServerConfig"],
    ["shadowsocks", "xray.proxy.shadowsocks.ServerConfig"],
  ]);
  expect([...typed.outbounds.keys()]).toEqual(["direct", "block"]);
  expect(typed.routing?.type).toBe("xray.app.router.Config");
});

test("a large document comes through whole", async () => {
  const clients = Array.from({ length: 20_000 }, (_, index) => ({ id: crypto.randomUUID(), email: `${index}` }));
  const inbound = { tag: "vless", port: 1, protocol: "vless", settings: { decryption: "none", clients } };
  const text = JSON.stringify({ inbounds: [inbound] });
  const pieces = Array.from({ length: Math.ceil(text.length / 65_536) }, (_, index) =>
    text.slice(index * 65_536, (index + 1) * 65_536),
  );
  const value = Buffer.from((await read(pieces)).inbounds.get("vless")?.proxySettings?.value ?? []);
  expect(clients.filter((_, index) => index % 199 === 0 && !value.includes(clients[index]?.id ?? "")).length).toBe(0);
});

test.each([
  ["no JSON", "{", /failed to load config: .*EOF/],
  ["a protocol that Xray does not know", '{"inbounds":[{"port":1,"protocol":"nope"}]}', /unknown config id: nope/],
])("%s is refused in Xray's words", async (_what, document, words) => {
  const failure = await read([document]).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(ConfigRefused);
  expect(String(failure)).toMatch(words);
});

test.each([
  ["cannot be run", "none", undefined],
  ["fails after it has written", "half", "cat >/dev/null; printf '\\012\\000' >&3; echo half a config; exit 1"],
])("a program that %s is an error", async (_what, name, text) => {
  const path = text === undefined ? join(directory, name) : await script(name, text);
  await expect(read(["{}"], path)).rejects.toThrow(/none: not found|half a config/);
});

test("a program that never ends is ended with all that it started", async () => {
  const path = await script("sleeper", `echo $$ >'${directory}/pid'; sleep 600 & wait`);
  await expect(read(["{}"], path, 200)).rejects.toThrow(ConfigRefused);
  const pid = (await readFile(join(directory, "pid"), "latin1")).trim();
  await until("gone", () => !existsSync(`/proc/${pid}`));
});

import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EngineUnreachable } from "../../src/node/engines/engine-error.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols } from "../support/proxy-protocols.ts";
import { xrayPath } from "../xray-path.ts";
import { createEngineUnderTest, type EngineUnderTest } from "./engine-under-test.ts";
import { shadowsocks2022, userOfAll as userOf } from "./more-protocols.ts";

const protocols = [...proxyProtocols.slice(0, 1), shadowsocks2022];
const done = { skipped: [], rejected: [] };
const crowd = Array.from({ length: 60 }, (_, index) => userOf(`${index}`, "vless", "ss2022"));
const [first, ...rest] = crowd;

let xray: EngineUnderTest;
let config: string;
let ports: number[];
let incarnation: string;
/** How the next conversions of a config go: the text of a shell function that Xray's output passes through. */
let disturb: (script: string) => Promise<void>;

// Xray as it is, but that the conversion of a config can be disturbed.
beforeEach(async () => {
  [xray, ports] = await Promise.all([createEngineUnderTest(), freePorts(2)]);
  config = nodeConfig(ports, protocols);
  const [executable, script] = [join(xray.runDir, "xray"), join(xray.runDir, "disturb")];
  disturb = (text) => writeFile(script, text);
  const wrapper = `#!/bin/sh\n[ "$1" = convert ] && [ -e ${script} ] && . ${script}\nexec ${await xrayPath()} "$@"\n`;
  await writeFile(executable, wrapper, { mode: 0o700 });
  await xray.engine.useProgram({ executable, assets: xray.runDir }, { restart: false });
  await xray.engine.start({ config, users: first ? [first] : [], excludeInbounds: [] });
  ({ incarnation } = await xray.engine.readTraffic());
});
afterEach(() => xray.close());

const tags = ["vless", "ss2022"];
const held = () => Promise.all(tags.map(async (tag) => (await xray.usersOn(tag)).length));
const isSameEngine = async () => (await xray.engine.readTraffic()).incarnation === incarnation;

/** Makes Xray read a port that is taken in place of that of the Shadowsocks inbound; with `once` one time. */
async function withTakenPort({ once: oneTime }: { once: boolean }): Promise<{ [Symbol.dispose](): void }> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const script = join(xray.runDir, "disturb");
  const forget = oneTime ? `rm ${script}; ` : "";
  await disturb(
    `${forget}sed 's/"port":${ports[1]}/"port":${port}/' | "$(tail -n 1 "$0" | cut -d ' ' -f 2)" "$@"; exit`,
  );
  return { [Symbol.dispose]: () => void server.close() };
}

test("where Xray cannot convert its config, it is started again for another one, with its users", async () => {
  await disturb("echo 'unknown command' >&2; exit 2");
  const more = { ...proxyProtocols[0]?.inbound((await freePorts(1))[0] ?? 0), tag: "more" };
  const document = JSON.parse(config);
  const changed = JSON.stringify({ ...document, inbounds: [...document.inbounds, more] });
  expect(await xray.engine.start({ config: changed, users: crowd, excludeInbounds: [] })).toEqual(done);
  expect(await held()).toEqual([60, 60]);
  expect(await isSameEngine()).toBe(false);
  expect(xray.exits).toEqual([]);
});

test("where Xray cannot convert its config, many Shadowsocks-2022 users come one by one", async () => {
  await disturb("echo 'unknown command' >&2; exit 2");
  expect(await xray.engine.updateUsers(rest)).toEqual(done);
  expect(await held()).toEqual([60, 60]);
  expect(await isSameEngine()).toBe(true);
});

test("an inbound that does not come in place of itself comes back as it was, and takes the users one by one", async () => {
  using _taken = await withTakenPort({ once: true });
  expect(await xray.engine.updateUsers(rest)).toEqual(done);
  expect(await held()).toEqual([60, 60]);
  expect(await isSameEngine()).toBe(true);
  expect(await xray.engine.replaceUsers(first ? [first] : [])).toEqual(done);
  expect(await held()).toEqual([1, 1]);
});

test("an inbound that does not come back at all comes back with a new engine, and the same call again sets all", async () => {
  using _taken = await withTakenPort({ once: false });
  const failure = await xray.engine.updateUsers(rest).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(EngineUnreachable);
  expect(String(failure)).toMatch(/address already in use/);
  expect(xray.engine.state).toBe("running");
  expect(await isSameEngine()).toBe(false);
  expect((await held())[1]).toBe(1);
  await disturb("");
  expect(await xray.engine.updateUsers(rest)).toEqual(done);
  expect(await held()).toEqual([60, 60]);
});

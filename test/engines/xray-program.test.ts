import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { ConfigRefused, StartFailed } from "../../src/node/engines/engine-error.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, userOf } from "../support/proxy-protocols.ts";
import { xrayPath } from "../xray-path.ts";
import { createEngineUnderTest, type EngineUnderTest } from "./engine-under-test.ts";

let xray: EngineUnderTest;
beforeEach(async () => {
  xray = await createEngineUnderTest();
});
afterEach(() => xray.close());

const start = async () =>
  xray.engine.start({ config: nodeConfig(await freePorts(4)), users: [userOf("1", "vless")], excludeInbounds: [] });

/** A program that leads its process's name, and does what a script says before it becomes Xray. */
async function program(name: string, script: string) {
  const executable = join(xray.runDir, name);
  await writeFile(executable, `#!/bin/sh\n${script}\nexec '${await xrayPath()}' "$@"\n`, { mode: 0o755 });
  return { executable, assets: xray.runDir };
}
const marking = (mark: string) => `export XRAY_MARK=${mark}`;
const markOf = async () => /XRAY_MARK=(\w+)/.exec(await readFile(`/proc/${await xray.pid()}/environ`, "latin1"))?.[1];

test("another program takes over at once, with all users, and what was counted before is told", async () => {
  await start();
  const users = await xray.usersOn("vless");
  expect(await xray.engine.useProgram(await program("new", marking("new")), { restart: true })).toBe(true);
  expect(await markOf()).toBe("new");
  expect(await xray.usersOn("vless")).toEqual(users);
  expect(xray.drained).toHaveLength(1);
  expect(xray.exits).toEqual([]);
});

test("another program waits for the next start when it is not to restart", async () => {
  await start();
  const pid = await xray.pid();
  expect(await xray.engine.useProgram(await program("new", marking("new")), { restart: false })).toBe(false);
  expect(await xray.pid()).toBe(pid);
  await xray.engine.stop();
  await start();
  expect(await markOf()).toBe("new");
});

test("another program is used from the first start on when nothing was started", async () => {
  expect(await xray.engine.useProgram(await program("new", marking("new")), { restart: true })).toBe(false);
  await start();
  expect(await markOf()).toBe("new");
});

test("a program that does not accept the config touches nothing", async () => {
  await start();
  const pid = await xray.pid();
  const broken = await program("broken", "echo 'Failed to start: it is broken'; exit 23");
  await expect(xray.engine.tryProgram(broken)).rejects.toThrow("it is broken");
  await expect(xray.engine.useProgram(broken, { restart: true })).rejects.toThrow(ConfigRefused);
  expect(await xray.pid()).toBe(pid);
  expect(xray.drained).toEqual([]);
});

test("a program that accepts the config and does not run leaves the one before, also for later starts", async () => {
  await start();
  const users = await xray.usersOn("vless");
  const failing = await program("failing", "case \"$*\" in *-test*) ;; *) echo 'Failed to start: no'; exit 23 ;; esac");
  await expect(xray.engine.useProgram(failing, { restart: true })).rejects.toThrow(StartFailed);
  expect(xray.engine.state).toBe("running");
  expect(await xray.usersOn("vless")).toEqual(users);
  await xray.engine.stop();
  await start();
});

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MtProtoUser } from "../../gen/garrison/core/v1/node_config_pb.ts";
import { ConfigRefused } from "../../src/node/engines/engine-error.ts";
import { freePorts } from "../support/ports.ts";
import {
  connectTelegram,
  type DataCentre,
  isLetIn,
  startDataCentre,
  type TelegramClient,
} from "../support/telegram.ts";
import { until } from "./engine-under-test.ts";
import { onEveryTelemt } from "./telemt-kinds.ts";
import { createTelemtUnderTest, type TelemtUnderTest, telemtConfig, telemtUser } from "./telemt-under-test.ts";

const [alice, bob, carol] = [telemtUser(1), telemtUser(2), telemtUser(3)];

onEveryTelemt("users", (kind) => {
  let telemt: TelemtUnderTest;
  let dataCentre: DataCentre;
  let port: number;
  let clients: TelegramClient[];

  beforeEach(async () => {
    telemt = await createTelemtUnderTest(kind);
    dataCentre = await startDataCentre();
    [port = 0] = await freePorts(1);
    clients = [];
  });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await telemt.close();
    await dataCentre.close();
  });

  const run = (...users: MtProtoUser[]) => telemt.engine.apply(telemtConfig(dataCentre.address, { port, users }));
  async function connected({ secret }: MtProtoUser): Promise<TelegramClient> {
    const client = await connectTelegram(port, secret);
    clients.push(client);
    await client.exchange(1_000, 2_000);
    return client;
  }

  test("are let in as soon as the config is applied, and nobody else is", async () => {
    await run(alice);
    expect(telemt.states).toEqual(["starting", "running"]);
    expect(telemt.engine.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(await isLetIn(port, alice.secret)).toBe(true);
    expect(await isLetIn(port, bob.secret)).toBe(false);
  });

  test("come, change and go without that anybody else notices", async () => {
    await run(alice, bob);
    const session = await connected(alice);
    const pid = await telemt.pid();
    await run(alice, bob, carol);
    expect(await isLetIn(port, carol.secret)).toBe(true);
    await run(alice, { ...bob, maxConnections: 3 }, carol);
    await run(alice, telemtUser(2, { generation: 1 }));
    expect(await isLetIn(port, telemtUser(2, { generation: 1 }).secret)).toBe(true);
    await run(alice);
    await session.exchange(1_000, 1_000);
    expect([session.isClosed, await telemt.pid(), telemt.exits]).toEqual([false, pid, []]);
  });

  describe.each([
    ["is removed", [alice]],
    ["has another secret", [alice, telemtUser(2, { generation: 1 })]],
  ])("one who %s", (_what, after) => {
    test("is cut off, refused, and counted to the last byte", async () => {
      await run(alice, bob);
      const session = await connected(bob);
      await session.exchange(50_000, 100_000);
      await run(...after);
      await until("cut off", () => session.isClosed);
      expect(await isLetIn(port, bob.secret)).toBe(false);
      expect(await telemt.used(bob)).toEqual([session.uplinkBytes, session.downlinkBytes]);
    });
  });

  if (kind === "the stand-in")
    test("who are removed are cut off by a telemt that takes its time, too", async () => {
      await run(alice, bob);
      const session = await connected(bob);
      await telemt.breakStandIn({ cutsAfterMs: 500 });
      await run(alice);
      expect(session.isClosed).toBe(true);
      expect(await telemt.used(bob)).toEqual([session.uplinkBytes, session.downlinkBytes]);
    });

  test("who come back are let in, and their bytes go on", async () => {
    await run(alice, bob);
    const first = await connected(bob);
    await run(alice);
    await run(alice, bob);
    const second = await connected(bob);
    expect(await telemt.used(bob)).toEqual([
      first.uplinkBytes + second.uplinkBytes,
      first.downlinkBytes + second.downlinkBytes,
    ]);
  });

  test("there may be none, and any number", async () => {
    await run();
    expect(await isLetIn(port, alice.secret)).toBe(false);
    const many = Array.from({ length: 3_000 }, (_, index) => telemtUser(index + 1));
    await run(...many);
    expect(await isLetIn(port, many.at(-1)?.secret ?? "")).toBe(true);
    await run();
    expect(await isLetIn(port, alice.secret)).toBe(false);
  });

  test("have no more connections than they may have", async () => {
    await run({ ...alice, maxConnections: 1 });
    await connected(alice);
    expect(await isLetIn(port, alice.secret)).toBe(false);
    await run({ ...alice, maxConnections: 2 });
    expect(await isLetIn(port, alice.secret)).toBe(true);
  });

  test("who cannot be used are left out and told, and the others are let in", async () => {
    const outcome = await run(alice, { ...bob, secret: "short" });
    expect(outcome.skipped).toEqual([
      { email: `7.${bob.linkUuid}`, inbound: "7", reason: "the secret is not 32 hex digits" },
    ]);
    expect(await isLetIn(port, alice.secret)).toBe(true);
  });

  test("of a config that is refused do not come, and those who are there stay", async () => {
    await run(alice);
    const session = await connected(alice);
    const bad = telemtConfig(dataCentre.address, { port, users: [bob], settings: { include: "/etc/passwd" } });
    await expect(telemt.engine.apply(bad)).rejects.toThrow(ConfigRefused);
    await session.exchange(1, 1);
  });

  test("are told with their addresses while they are connected, in the time in which they came", async () => {
    await run(alice, bob);
    const before = BigInt(Math.floor(Date.now() / 1_000));
    await connected(alice);
    const online = await telemt.engine.onlineUsers();
    expect([...online.keys()]).toEqual([`7.${alice.linkUuid}`]);
    expect(await telemt.engine.online(`7.${alice.linkUuid}`)).toEqual({ "127.0.0.1": expect.anything() });
    expect(online.get(`7.${alice.linkUuid}`)?.["127.0.0.1"]).toBeGreaterThanOrEqual(before);
    expect(await telemt.engine.online(`7.${bob.linkUuid}`)).toBeUndefined();
  });

  test("and their secrets lie where only this user can read them, and not any more once nothing runs", async () => {
    await run(alice);
    const file = join(telemt.runDir, "mtproto-7", "access.toml");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(join(telemt.runDir, "mtproto-7"))).mode & 0o777).toBe(0o700);
    expect(telemt.lines.join("\n")).not.toContain(alice.secret);
    await telemt.engine.stop();
    await expect(stat(file)).rejects.toThrow("ENOENT");
  });
});

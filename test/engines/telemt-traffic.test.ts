import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MtProtoUser } from "../../gen/garrison/core/v1/node_config_pb.ts";
import { EngineUnreachable } from "../../src/node/engines/engine-error.ts";
import { freePorts } from "../support/ports.ts";
import { connectTelegram, type DataCentre, startDataCentre, type TelegramClient } from "../support/telegram.ts";
import { until } from "./engine-under-test.ts";
import { onEveryTelemt } from "./telemt-kinds.ts";
import { createTelemtUnderTest, type TelemtUnderTest, telemtConfig, telemtUser } from "./telemt-under-test.ts";

const [alice, bob] = [telemtUser(1), telemtUser(2)];

onEveryTelemt("counters", (kind) => {
  let telemt: TelemtUnderTest;
  let dataCentre: DataCentre;
  let port: number;
  let clients: TelegramClient[];
  /** What each user has used, as the clients know it. */
  let usedOf: Map<MtProtoUser, readonly [bigint, bigint]>;

  beforeEach(async () => {
    telemt = await createTelemtUnderTest(kind);
    dataCentre = await startDataCentre();
    [port = 0] = await freePorts(1);
    clients = [];
    usedOf = new Map();
  });
  afterEach(async () => {
    await Promise.all(clients.map((client) => client.close()));
    await telemt.close();
    await dataCentre.close();
  });

  const run = (users: MtProtoUser[], settings = {}) =>
    telemt.engine.apply(telemtConfig(dataCentre.address, { port, users, settings }));
  /** A connection of a user, which carries some bytes. */
  async function use(user: MtProtoUser, upBytes: number, downBytes: number): Promise<TelegramClient> {
    const client = await connectTelegram(port, user.secret);
    clients.push(client);
    await client.exchange(upBytes, downBytes);
    const [up, down] = usedOf.get(user) ?? [0n, 0n];
    usedOf.set(user, [up + client.uplinkBytes, down + client.downlinkBytes]);
    return client;
  }
  async function expectExact(...users: MtProtoUser[]): Promise<void> {
    for (const user of users) expect(await telemt.used(user)).toEqual(usedOf.get(user) ?? [0n, 0n]);
  }

  test("have every byte of every user, in both directions", async () => {
    await run([alice, bob]);
    await use(alice, 150_000, 370_000);
    await use(alice, 1, 2);
    await use(bob, 0, 100_000);
    const reading = await telemt.engine.readTraffic();
    expect(reading.counters).toHaveLength(2);
    expect(reading.counters.every(({ kind, link }) => kind === "user" && link === "traffic")).toBe(true);
    await expectExact(alice, bob);
    expect((await telemt.engine.readTraffic("inbound")).counters).toEqual([]);
  });

  test("go on over changes of users, planned restarts and a stop, in one incarnation", async () => {
    await run([alice]);
    const { incarnation } = await telemt.engine.readTraffic();
    await use(alice, 1_000, 2_000);
    await run([alice, bob]);
    await use(bob, 3_000, 4_000);
    const pid = await telemt.pid();
    const session = await use(alice, 5_000, 6_000);
    await run([alice, bob], { general: { use_middle_proxy: false, fast_mode: true } });
    expect(await telemt.pid()).not.toBe(pid);
    await until("its connections have ended", () => session.isClosed);
    await expectExact(alice, bob);
    await use(alice, 7_000, 8_000);
    await use(bob, 9_000, 1);
    await expectExact(alice, bob);
    await telemt.engine.stop();
    await expectExact(alice, bob);
    await run([bob]);
    await use(bob, 2, 3);
    await expectExact(alice, bob);
    expect((await telemt.engine.readTraffic()).incarnation).toBe(incarnation);
    expect([telemt.exits, telemt.restarts]).toEqual([[], []]);
  });

  test("are read for the last time when the engine is closed, with what live connections have used", async () => {
    await run([alice]);
    const session = await use(alice, 10_000, 20_000);
    await telemt.engine.close();
    expect(session.isClosed).toBe(true);
    const [reading] = telemt.drained;
    expect(telemt.drained).toHaveLength(1);
    expect(reading?.counters).toMatchObject([
      { name: `7.${alice.linkUuid}`, uplinkBytes: session.uplinkBytes, downlinkBytes: session.downlinkBytes },
    ]);
  });

  test("keep what was read when telemt is killed, and go on", async () => {
    await run([alice]);
    await use(alice, 10_000, 20_000);
    await expectExact(alice);
    process.kill(await telemt.pid(), "SIGKILL");
    await until("back", () => telemt.restarts.length === 1);
    await expectExact(alice);
    await use(alice, 1, 1);
    await expectExact(alice);
  });

  test("are the same whoever reads them at the same time", async () => {
    await run([alice]);
    let stopped = false;
    const readers = Array.from({ length: 4 }, async () => {
      while (!stopped) await telemt.engine.readTraffic();
    });
    for (let count = 0; count < 20; count++) await use(alice, 10_000, 10_000);
    await run([alice, bob]);
    await run([alice]);
    stopped = true;
    await Promise.all(readers);
    await expectExact(alice);
  });

  if (kind === "the stand-in")
    describe("of a telemt", () => {
      test("that forgets a user are complete when the user comes back", async () => {
        await run([alice, bob]);
        await (await use(alice, 10_000, 20_000)).close();
        await expectExact(alice);
        await telemt.breakStandIn({ forgets: [alice.linkUuid] });
        await expectExact(alice);
        await telemt.breakStandIn({});
        await use(alice, 50_000, 60_000);
        await expectExact(alice, bob);
      });

      test("that does not show all users have every byte, the directions of some being guessed", async () => {
        await run([alice, bob]);
        await use(alice, 10_000, 20_000);
        await use(bob, 1_000, 0);
        await expectExact(alice, bob);
        await telemt.breakStandIn({ shownUsers: 1 });
        await use(alice, 10_000, 20_000);
        await use(bob, 0, 5_000);
        await expectExact(alice);
        const total = (bytes: readonly bigint[]) => bytes.reduce((sum, each) => sum + each, 0n);
        expect(total(await telemt.used(bob))).toBe(total(usedOf.get(bob) ?? []));
        await telemt.breakStandIn({});
        await use(bob, 9_000, 9_000);
        expect(total(await telemt.used(bob))).toBe(total(usedOf.get(bob) ?? []));
        await expectExact(alice);
      });

      test.each([
        "<html>busy</html>",
        "",
        '{"ok":true,"data":{}}',
        'telemt_telemetry_user_enabled 1\ntelemt_user_octets_from_client{user="x"} many\n',
      ])("that answers %j are not read, and nothing is lost by it", async (garbage) => {
        await run([alice]);
        await use(alice, 10_000, 20_000);
        await expectExact(alice);
        await telemt.breakStandIn({ garbage });
        await use(alice, 30_000, 40_000);
        await expect(telemt.engine.readTraffic()).rejects.toThrow(EngineUnreachable);
        await expect(telemt.engine.onlineUsers()).rejects.toThrow(EngineUnreachable);
        await telemt.breakStandIn({});
        await expectExact(alice);
      });
    });
});

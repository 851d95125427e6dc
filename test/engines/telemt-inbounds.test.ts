import { once } from "node:events";
import { createServer } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { MtProtoMode } from "../../gen/garrison/core/v1/node_config_pb.ts";
import { PortInUse } from "../../src/node/engines/engine-error.ts";
import { freePorts } from "../support/ports.ts";
import { connectTelegram, type DataCentre, isLetIn, startDataCentre } from "../support/telegram.ts";
import { onEveryTelemt } from "./telemt-kinds.ts";
import { createTelemtUnderTest, type TelemtUnderTest, telemtConfig, telemtUser } from "./telemt-under-test.ts";

const [alice, bob] = [telemtUser(1), telemtUser(2)];

onEveryTelemt("inbounds", (kind) => {
  let telemt: TelemtUnderTest;
  let dataCentre: DataCentre;
  let first: number;
  let second: number;
  let third: number;

  beforeEach(async () => {
    telemt = await createTelemtUnderTest(kind);
    dataCentre = await startDataCentre();
    [first = 0, second = 0, third = 0] = await freePorts(3);
  });
  afterEach(async () => {
    await telemt.close();
    await dataCentre.close();
  });

  type Inbounds = Parameters<typeof telemtConfig> extends [string, ...infer Rest] ? Rest : never;
  const run = (...inbounds: Inbounds) => telemt.engine.apply(telemtConfig(dataCentre.address, ...inbounds));
  const letIn = (port: number, { secret } = alice) => isLetIn(port, secret).catch(() => false);

  test("know what one user has used on each of them", async () => {
    await run({ id: 7n, port: first, users: [alice] }, { id: 8n, port: second, users: [alice] });
    const sessions = [await connectTelegram(first, alice.secret), await connectTelegram(second, alice.secret)];
    for (const [index, session] of sessions.entries()) await session.exchange(1_000 * (index + 1), 5_000 * (index + 1));
    for (const [index, session] of sessions.entries()) {
      expect(await telemt.used(alice, `${index + 7}`)).toEqual([session.uplinkBytes, session.downlinkBytes]);
      await session.close();
    }
  });

  test("come and go without that others notice", async () => {
    await run({ id: 7n, port: first, users: [alice] });
    const session = await connectTelegram(first, alice.secret);
    await run({ id: 7n, port: first, users: [alice] }, { id: 8n, port: second, users: [bob] });
    expect([await letIn(second, bob), await letIn(second, alice)]).toEqual([true, false]);
    await run({ id: 7n, port: first, users: [alice] });
    expect(await letIn(second, bob)).toBe(false);
    await session.exchange(1, 1);
    await session.close();
    await run();
    expect(await letIn(first)).toBe(false);
    expect(telemt.engine.state).toBe("stopped");
  });

  test("swap their ports", async () => {
    await run({ id: 7n, port: first, users: [alice] }, { id: 8n, port: second, users: [bob] });
    await run({ id: 8n, port: first, users: [bob] }, { id: 7n, port: second, users: [alice] });
    expect(await Promise.all([letIn(first, bob), letIn(second, alice)])).toEqual([true, true]);
    expect(await Promise.all([letIn(first, alice), letIn(second, bob)])).toEqual([false, false]);
  });

  test("take another mode with a new start", async () => {
    await run({ port: first, users: [alice], modes: [MtProtoMode.TLS] });
    expect(await letIn(first)).toBe(false);
    const pid = await telemt.pid();
    const modes = [MtProtoMode.TLS, MtProtoMode.SECURE];
    expect((await run({ port: first, users: [alice], modes })).restarted).toEqual(["7"]);
    expect((await run({ port: first, users: [alice, bob], modes })).restarted).toEqual([]);
    expect(await letIn(first)).toBe(true);
    expect(await telemt.pid()).not.toBe(pid);
  });

  test("take a setting that telemt reads while it runs without one", async () => {
    await run({ port: first, users: [alice] });
    const session = await connectTelegram(first, alice.secret);
    await session.exchange(1, 1);
    const general = { use_middle_proxy: false, middle_proxy_nat_probe: false, log_level: "debug" };
    await run({ port: first, users: [alice], settings: { general } });
    await session.exchange(1, 1);
    await session.close();
  });

  test("are all as they were when one of them does not run", async () => {
    const other = createServer().listen(third, "127.0.0.1");
    await once(other, "listening");
    await run({ id: 7n, port: first, users: [alice] }, { id: 8n, port: second, users: [bob] });
    const pid = await telemt.pid("7");
    const session = await connectTelegram(first, alice.secret);
    const failing = run({ id: 7n, port: first, users: [alice, bob] }, { id: 9n, port: third, users: [bob] });
    await expect(failing).rejects.toThrow(PortInUse);
    expect(await Promise.all([letIn(first, alice), letIn(first, bob), letIn(second, bob)])).toEqual([
      true,
      false,
      true,
    ]);
    expect(await telemt.pid("7")).toBe(pid);
    await session.exchange(1, 1);
    await session.close();
    expect(telemt.engine.state).toBe("running");
    await once(other.close(), "close");
  });
});

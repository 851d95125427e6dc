import { expect, onTestFinished, test } from "vitest";
import type { MtProtoUser } from "../../gen/garrison/core/v1/node_config_pb.ts";
import { freePorts } from "../support/ports.ts";
import { createRandom } from "../support/random.ts";
import { connectTelegram, isLetIn, startDataCentre, type TelegramClient } from "../support/telegram.ts";
import { until } from "./engine-under-test.ts";
import { onEveryTelemt } from "./telemt-kinds.ts";
import { createTelemtUnderTest, telemtConfig, telemtUser } from "./telemt-under-test.ts";

const seed = Number(process.env.SEED ?? 20_261_121);
const rounds = 40;

onEveryTelemt("whatever is asked", (kind) => {
  test(`any sequence of users, settings, ends and traffic is counted to the byte (SEED=${seed})`, {
    timeout: 120_000,
  }, async () => {
    const { below: random, of } = createRandom(seed);
    const telemt = await createTelemtUnderTest(kind);
    const dataCentre = await startDataCentre();
    onTestFinished(async () => {
      await telemt.close();
      await dataCentre.close();
    });
    const [port = 0] = await freePorts(1);
    const everybody = Array.from({ length: 6 }, (_, index) => telemtUser(index + 1));
    /** Live sessions, and what all that were ever there have carried. */
    const sessions = new Map<TelegramClient, MtProtoUser>();
    const ended = new Map<MtProtoUser, [bigint, bigint]>();
    let users: MtProtoUser[] = [];
    let restartedBy = 0;

    const settle = (session: TelegramClient) => {
      const user = sessions.get(session);
      if (user === undefined) return;
      const [up, down] = ended.get(user) ?? [0n, 0n];
      ended.set(user, [up + session.uplinkBytes, down + session.downlinkBytes]);
      sessions.delete(session);
    };
    const untilEnded = async (which: (user: MtProtoUser) => boolean) => {
      for (const [session, user] of [...sessions]) {
        if (!which(user)) continue;
        await until("cut off", () => session.isClosed);
        settle(session);
      }
    };
    const apply = () =>
      telemt.engine.apply(
        telemtConfig(dataCentre.address, {
          port,
          users,
          settings: { server: { listen_backlog: 1_024 + restartedBy } },
        }),
      );
    const expectExact = async () => {
      const expected = new Map<string, [bigint, bigint]>();
      for (const user of everybody) expected.set(user.linkUuid, ended.get(user) ?? [0n, 0n]);
      for (const [session, { linkUuid }] of sessions) {
        const [up, down] = expected.get(linkUuid) ?? [0n, 0n];
        expected.set(linkUuid, [up + session.uplinkBytes, down + session.downlinkBytes]);
      }
      for (const user of everybody) expect(await telemt.used(user)).toEqual(expected.get(user.linkUuid));
    };

    const steps = {
      async use() {
        const user = of(users);
        if (user === undefined) return;
        const known = [...sessions].find(([, whose]) => whose === user)?.[0];
        const session = known ?? (await connectTelegram(port, user.secret));
        sessions.set(session, user);
        await session.exchange(random(50_000), random(100_000));
      },
      async users() {
        users = everybody.filter(() => random(3) > 0);
        await apply();
        await untilEnded((user) => !users.includes(user));
      },
      async settings() {
        restartedBy += 1;
        await apply();
        await untilEnded(() => true);
      },
      async stop() {
        await telemt.engine.stop();
        await untilEnded(() => true);
        await apply();
      },
      async kill() {
        if (telemt.engine.state !== "running") return;
        await expectExact(); // what is not read is lost
        const count = telemt.restarts.length;
        process.kill(await telemt.pid(), "SIGKILL");
        await until("back", () => telemt.restarts.length > count, 60_000);
        await untilEnded(() => true);
      },
      read: expectExact,
    };
    const likely = ["use", "use", "use", "use", "users", "users", "settings", "stop", "kill", "read"] as const;

    await apply();
    for (let round = 0; round < rounds; round++) await steps[of(likely) ?? "read"]();
    await expectExact();
    for (const user of everybody) expect(await isLetIn(port, user.secret)).toBe(users.includes(user));
  });
});

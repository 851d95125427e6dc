import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { expect, test } from "vitest";
import type { User } from "../../gen/service/node_pb.ts";
import { exchange, startByteTarget } from "../support/byte-target.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols } from "../support/proxy-protocols.ts";
import { createRandom } from "../support/random.ts";
import { connectSteadily, startEchoTarget } from "../support/steady-connections.ts";
import { startXrayClient } from "../support/xray-client.ts";
import { createEngineUnderTest } from "./engine-under-test.ts";
import { shadowsocks2022, userOfAll as userOf } from "./more-protocols.ts";

const seed = Number(process.env.SEED ?? 20_261_121);
const rounds = 30;
const protocols = [...proxyProtocols, shadowsocks2022];
const allTags = ["vless", ...protocols.map(({ name }) => `in-${name}`), "in-late"];

interface Document {
  inbounds: { tag: string }[];
  outbounds: { tag: string }[];
  routing: { rules: { inboundTag: string[]; outboundTag: string }[] };
}

test(`any sequence of configs leaves what the last good one says (SEED=${seed})`, { timeout: 120_000 }, async () => {
  const { below: random } = createRandom(seed);
  const [xray, echo, bytes] = await Promise.all([createEngineUnderTest(), startEchoTarget(), startByteTarget()]);
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const takenPort = (taken.address() as AddressInfo).port;
  const [steadyPort = 0, deadPort = 0, ...ports] = await freePorts(14);
  const base: Document = { routing: { rules: [] }, ...JSON.parse(nodeConfig([steadyPort], protocols.slice(0, 1))) };
  const redirect = (tag: string, port: number) => ({
    tag,
    protocol: "freedom",
    settings: { redirect: `127.0.0.1:${port}`, finalRules: [{ action: "allow" }] },
  });

  /** A config of random parts. The inbound of the steady connection is in all of them. */
  const draw = (fails: boolean): Document => {
    const free = [...ports];
    const inbounds = protocols
      .filter(() => random(3) > 0)
      .map(({ name, inbound }) => {
        const [port = 0] = free.splice(random(free.length), 1);
        return { ...inbound(port), tag: `in-${name}` };
      });
    if (fails) inbounds.push({ ...protocols[1]?.inbound(takenPort), tag: "in-late" });
    const more = [redirect("alive", bytes.port), redirect("dead", random(2) === 0 ? deadPort : takenPort)];
    const outbounds = [...base.outbounds, ...more, { tag: "more", protocol: "blackhole" }].filter(() => random(3) > 0);
    const rules = [
      { inboundTag: ["vless"], outboundTag: "direct" },
      { inboundTag: ["in-vmess"], outboundTag: "alive" },
      { inboundTag: ["in-trojan", "vless"], outboundTag: "dead" },
    ].filter(() => random(3) === 0);
    return {
      ...base,
      inbounds: shuffled([...base.inbounds, ...inbounds], random),
      outbounds: shuffled(outbounds.length === 0 ? base.outbounds : outbounds, random),
      routing: { rules },
    };
  };
  const steadyUser = userOf("steady", "vless");
  const start = (config: Document, users: readonly User[]) =>
    xray.engine.start({ config: JSON.stringify(config), users: [steadyUser, ...users], excludeInbounds: [] });

  let current = base;
  let members: User[] = [];
  await start(current, members);
  const { incarnation } = await xray.engine.readTraffic();
  const client = await startXrayClient(protocols.slice(0, 1).map(({ outbound }) => outbound(steadyPort, steadyUser)));
  const [proxy = 0] = client.proxyPorts;
  const steady = await connectSteadily(proxy, echo);

  for (let round = 0; round < rounds; round++) {
    const fails = random(4) === 0;
    const next = draw(fails);
    const users = Array.from({ length: random(30) }, (_, index) => {
      const [known, inbounds] = [members[index], allTags.filter(() => random(2) === 0)];
      return known !== undefined && random(2) === 0 ? { ...known, inbounds } : userOf(`user-${index}`, ...inbounds);
    });
    if (fails) {
      await expect(start(next, users)).rejects.toThrow(/address already in use/);
    } else {
      expect(await start(next, users)).toEqual({ skipped: [], rejected: [] });
      [current, members] = [next, users];
    }

    const tags = new Set(current.inbounds.map(({ tag }) => tag));
    for (const tag of allTags) {
      const held = xray.usersOn(tag);
      if (tags.has(tag)) {
        const emails = [steadyUser, ...members].filter(({ inbounds }) => inbounds.includes(tag));
        expect([tag, await held]).toEqual([tag, emails.map(({ email }) => email).sort()]);
      } else {
        await expect(held).rejects.toThrow(/handler not found/);
      }
    }
    await steady.carries();
    if (round % 3 === 0) {
      const [through] = await Promise.allSettled([exchange(proxy, bytes, 100, 100)]);
      expect([round, through.status]).toEqual([round, hasWay(current) ? "fulfilled" : "rejected"]);
    }
    expect((await xray.engine.readTraffic()).incarnation).toBe(incarnation);
  }

  expect(xray.states).toEqual(["starting", "running"]);
  steady.close();
  taken.close();
  await client.close();
  await Promise.all([xray.close(), echo.close(), bytes.close()]);
});

/** Whether a connection of the steady user that begins now gets to its target. */
function hasWay({ outbounds, routing }: Document): boolean {
  const rule = routing.rules.find(({ inboundTag }) => inboundTag.includes("vless"));
  const tag = rule?.outboundTag ?? outbounds[0]?.tag ?? "";
  return ["direct", "alive"].includes(tag) && outbounds.some((outbound) => outbound.tag === tag);
}

function shuffled<T>(items: readonly T[], random: (below: number) => number): T[] {
  const rest = [...items];
  return items.flatMap(() => rest.splice(random(rest.length), 1));
}

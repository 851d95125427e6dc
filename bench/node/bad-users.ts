import { create } from "@bufbuild/protobuf";
import { type User, UserSchema } from "../../gen/service/node_pb.ts";
import { startByteTarget } from "../../test/support/byte-target.ts";
import { freePorts } from "../../test/support/ports.ts";
import { nodeConfig, proxyProtocols } from "../../test/support/proxy-protocols.ts";
import { connectSteadily, startEchoTarget } from "../../test/support/steady-connections.ts";
import { admitted } from "../../test/support/users-online.ts";
import { startXrayClient } from "../../test/support/xray-client.ts";
import { startNodeUnderTest } from "./node-under-test.ts";
import { report } from "./report.ts";

const count = 100;
const asked = 10;

/** What becomes of the others when one user of a hundred has an empty Shadowsocks password. */
export async function measureBadUser(): Promise<void> {
  const index = proxyProtocols.findIndex(({ name }) => name === "shadowsocks");
  const protocol = proxyProtocols[index];
  if (protocol === undefined) throw new Error("no shadowsocks");
  const [target, echo, node, ports] = await Promise.all([
    startByteTarget(),
    startEchoTarget(),
    startNodeUnderTest(),
    freePorts(proxyProtocols.length),
  ]);
  const port = ports[index] ?? 0;
  const config = nodeConfig(ports);
  const good = Array.from({ length: count - 1 }, (_, number) => userWith(number, `password of ${number}`));
  await node.client.start({ config, users: good.slice(0, asked) });
  const [first] = good;
  if (first === undefined) throw new Error("nobody");
  const client = await startXrayClient([protocol.outbound(port, first)]);
  const steady = await connectSteadily(client.proxyPorts[0] ?? 0, echo);
  for (const [call, send] of [
    ["SyncUsers", (users: User[]) => node.client.syncUsers({ users })],
    ["Start", (users: User[]) => node.client.start({ config, users })],
  ] as const) {
    await send([...good.slice(0, count / 2), userWith(count, ""), ...good.slice(count / 2)]);
    const entrances = [...good.slice(0, asked), ...good.slice(-asked)].map((user) => ({ protocol, port, user }));
    const through = (await admitted(entrances, target)).filter(Boolean).length;
    const about = `${call} of ${count} users, one with an empty Shadowsocks password`;
    report({ about: `${about}: others usable`, value: (100 * through) / entrances.length, unit: "%", atLeast: 100 });
    const dropped = steady.dropped ? 1 : 0;
    report({ about: `${about}: connections dropped`, value: dropped, unit: "connections", atMost: 0 });
  }
  steady.close();
  await client.close();
  await Promise.all([target.close(), echo.close(), node.close()]);
}

function userWith(number: number, password: string): User {
  const shadowsocks = { password, method: "aes-128-gcm" };
  return create(UserSchema, { email: `${number}.user`, inbounds: ["shadowsocks"], proxies: { shadowsocks } });
}

import { create } from "@bufbuild/protobuf";
import { beforeEach, expect, test } from "vitest";
import { ApplyMode } from "../../../../gen/garrison/core/v1/node_agent_pb.ts";
import { NodeServicesSchema } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { createMemoryEngine, type MemoryEngine } from "../../../../test/support/memory-engine.ts";
import { ConfigInvalid } from "../config/failure.ts";
import type { DrivenEngine } from "./driven-engine.ts";
import { createDrivenWireGuard } from "./driven-wireguard.ts";

const uuid = (digit: number) => `${digit}0000000-0000-4000-8000-000000000000`;
const name = (digit: number) => `7.${uuid(digit)}`;
const none = create(NodeServicesSchema, {});

let engine: MemoryEngine;
let lives: number;
let opened: number;
let driven: DrivenEngine;
let refused: Set<string>;
let refusedFrom: Map<string, string[]>;
beforeEach(() => {
  [lives, opened, refused, refusedFrom] = [0, 0, new Set(), new Map()];
  const ignored = () => undefined;
  // As WireGuard does it: another config is no other life.
  const stateChanged = (state: string) => void (state === "starting" && lives++);
  engine = createMemoryEngine({ line: ignored, exited: ignored, restarted: ignored, drained: ignored, stateChanged }, [
    "user",
    "outbound",
  ]);
  drive(false);
});

function drive(isLeft: boolean): void {
  const open = async () => {
    opened += 1;
    return engine;
  };
  driven = createDrivenWireGuard({ open, isLeft }, () => lives);
}

const servicesWith = (users: readonly number[], port = 51_820) =>
  create(NodeServicesSchema, {
    wireguard: {
      inbounds: [
        {
          ...{ nodeProtocolId: 7n, tag: "wg0", port, privateKey: "p", addresses: ["10.66.0.1/16"] },
          users: users.map((user) => ({ linkUuid: uuid(user), publicKey: `${user}`, peerIps: [`10.66.0.${user}/32`] })),
        },
      ],
    },
  });
const apply = (services = none) =>
  driven.apply(services, {
    isRefused: (link) => refused.has(link),
    addressesOf: (link) => refusedFrom.get(link) ?? [],
  });
const users = () => [...engine.users.keys()].map((email) => Number(email[2]));

test("the engine is not even loaded until a config asks for it", async () => {
  expect(await apply()).toMatchObject({ mode: ApplyMode.ADOPTED, users: undefined });
  expect([opened, driven.counted, await driven.onlineNames()]).toEqual([0, undefined, undefined]);
  expect(await apply(servicesWith([1, 2]))).toEqual({ mode: ApplyMode.RESTARTED, users: 2, leftOut: [] });
  expect([opened, driven.counted, users()]).toEqual([1, engine, [1, 2]]);
});

test("it is told what a change has cost", async () => {
  await apply(servicesWith([1]));
  expect(await apply(servicesWith([1, 2]))).toMatchObject({ mode: ApplyMode.ADOPTED, users: 2 });
  expect(await apply(servicesWith([2], 51_821))).toMatchObject({ mode: ApplyMode.LIVE, users: 1 });
  expect(await apply()).toEqual({ mode: ApplyMode.RESTARTED, users: undefined, leftOut: [] });
  expect(engine.state).toBe("stopped");
  expect(await apply()).toMatchObject({ mode: ApplyMode.ADOPTED });
});

test("what an earlier process has left, and no config asks for, is taken away", async () => {
  await apply(servicesWith([1]));
  drive(true);
  await apply();
  expect(engine.state).toBe("stopped");
});

test("links that are refused are left out, and so are users whom the engine does not take, who are told of", async () => {
  refused.add(uuid(1));
  engine.refuse = name(3);
  const { users: count, leftOut } = await apply(servicesWith([1, 2, 3]));
  expect([count, users()]).toEqual([2, [2]]);
  expect(leftOut).toEqual([expect.objectContaining({ email: name(3) })]);
});

test("a config with several interfaces is refused, and what runs is left alone", async () => {
  await apply(servicesWith([1]));
  const services = servicesWith([2]);
  services.wireguard?.inbounds.push(...(servicesWith([3]).wireguard?.inbounds ?? []));
  await expect(apply(services)).rejects.toThrow(ConfigInvalid);
  expect(users()).toEqual([1]);
});

test("who is connected from an address that is refused is left out until it is not, and others stay", async () => {
  await apply(servicesWith([1, 2]));
  engine.connected.set(name(1), { "::ffff:192.0.2.1": 5n });
  engine.connected.set(name(2), { "192.0.2.2": 5n });
  refusedFrom.set(uuid(1), ["192.0.2.1"]);
  refusedFrom.set(uuid(2), ["192.0.2.1"]);
  await apply(servicesWith([1, 2]));
  expect(users()).toEqual([2]);
  // The engine still tells where they were: their place is not free yet.
  expect(await driven.onlineNames()).toEqual(new Set([name(1), name(2)]));
  const answers = engine.hang();
  await apply(servicesWith([1, 2, 3])).catch(() => undefined);
  answers();
  expect(users()).toEqual([2, 3]);
  engine.connected.delete(name(1));
  await apply(servicesWith([1, 2, 3]));
  expect(users()).toEqual([1, 2, 3]);
});

test("who was removed is not online, whatever the engine has seen of them lately", async () => {
  await apply(servicesWith([1, 2]));
  engine.connected.set(name(1), { "2001:DB8::1": 5n });
  engine.connected.set(name(2), { "192.0.2.2": 5n });
  expect(await driven.addresses(name(1))).toEqual({ "2001:db8::1": 5n });
  await apply(servicesWith([2]));
  expect(await driven.onlineNames()).toEqual(new Set([name(2)]));
});

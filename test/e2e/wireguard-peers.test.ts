import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { StatType, type User } from "../../gen/service/node_pb.ts";
import { mayMakeNamespaces } from "../support/network-namespace.ts";
import { bothCounted, toldOf } from "../support/peer-bytes.ts";
import { makeKeys } from "../support/wireguard-peer.ts";
import {
  type ConnectedPerson,
  countedOf,
  handshakeBytes,
  startScene,
  type WireGuardScene,
} from "../support/wireguard-scene.ts";

// Real peers send all the time, while everything is done to everybody else that a panel does to users.

const churnMs = 6_000;
const everyMs = 20;
const pingBytes = 200;

describe.skipIf(!(await mayMakeNamespaces()))("peers of a node's WireGuard", () => {
  let scene: WireGuardScene;
  /** One only pings; two carry bytes over TCP, too. */
  let people: [ConnectedPerson, ConnectedPerson, ConnectedPerson];

  beforeAll(async () => {
    scene = await startScene();
    const connect = (number: number) => scene.connect(scene.person(number));
    people = [await connect(2), await connect(3), await connect(4)];
  });
  afterAll(() => scene?.close());

  const start = async (users: readonly User[]) => {
    await scene.node.grpc.start(scene.backend(users));
    for (const each of people) await each.peer.beginAnew();
    await scene.node.grpc.stats({ type: StatType.UsersStat, reset: true });
    await scene.node.grpc.info(); // for the reset
  };
  const ping = async ({ traffic }: ConnectedPerson) => {
    for (const way of [scene.target.v4, scene.target.v6])
      await traffic.startPinging({ ...way, everyMs, bytes: pingBytes });
  };

  it("lose no packet and no byte while users are added, changed, removed and synced", async () => {
    const own = people.map(({ user }) => user);
    await start(own);
    const { grpc, rest } = scene.node;
    const before = await scene.held();
    for (const each of people) await ping(each);

    const busy = new AbortController();
    onTestFinished(() => busy.abort());
    const [, ...carriers] = people;
    const transfers = carriers.map(async ({ traffic }) => {
      let carried = 0;
      for (; !busy.signal.aborted; carried += 1) await traffic.tcp({ ...scene.target.v4, up: 150_000, down: 250_000 });
      return carried;
    });

    const first = scene.person(250);
    await grpc.syncUser(first.user);
    await grpc.syncUser({ ...first.user, inbounds: [] });
    let rounds = 0;
    const until = performance.now() + churnMs;
    for (; performance.now() < until || rounds < 4; rounds += 1) {
      const others = Array.from({ length: 40 }, (_, index) => scene.person(10 + index));
      const users = others.map(({ user }) => user);
      const moved = others.map((each, index) => scene.userWith(each, { peerIps: [`10.66.0.${100 + index}/32`] }));
      const rekeyed = others.map((each) => scene.userWith(each, { publicKey: makeKeys().publicKey }));
      await grpc.syncChunked({ users, last: true });
      for (const user of moved.slice(0, 5)) await rest.syncUser(user);
      await rest.syncUsers({ users: [...moved, ...own.toReversed()] });
      await grpc.syncUsers({ users: [...own, ...rekeyed] });
      await grpc.syncUsers({ users: [...rekeyed.toReversed(), ...own] });
      await rest.syncChunked({ users: rekeyed.slice(0, 20).map((user) => ({ ...user, inbounds: [] })), last: true });
      await grpc.start(scene.backend([...own, ...rekeyed.slice(30)]));
      await grpc.syncUsers({ users: own });
      await grpc.stats({ type: StatType.UsersStat });
    }
    // Who has gone is taken away although others come and go.
    expect((await scene.held()).peers.map(({ publicKey }) => publicKey)).not.toContain(first.keys.publicKey);
    busy.abort();
    for (const carried of await Promise.all(transfers)) expect(carried).toBeGreaterThan(3);

    for (const each of people) {
      const pinged = await each.traffic.stopPinging();
      for (const { sent, lost } of pinged) {
        expect(sent).toBeGreaterThan((0.5 * churnMs) / everyMs);
        expect(lost).toEqual([]);
      }
      // Both ends have counted the same: every packet, with what WireGuard adds to it.
      const own = await bothCounted(scene.node, each);
      if (each !== people[0]) continue;
      const [v4, v6] = pinged.map(({ sent }) => sent);
      const data = (v4 ?? 0) * countedOf(pingBytes) + (v6 ?? 0) * countedOf(pingBytes, "v6");
      expect(own).toEqual({ received: data + handshakeBytes.begun, sent: data + handshakeBytes.answered });
    }
    const keysHeld = async () => (await scene.held()).peers.map(({ publicKey }) => publicKey);
    await expect.poll(keysHeld, { timeout: 3_000 }).toEqual(before.peers.map(({ publicKey }) => publicKey));
  });

  it("notice nothing of a key that one of them changes, and it costs that one a moment", async () => {
    const [anna, boris, carla] = people;
    await start(people.map(({ user }) => user));
    for (const each of people) await ping(each);
    await sleep(300);
    const keys = makeKeys();
    await scene.node.grpc.syncUser(scene.userWith(carla, { publicKey: keys.publicKey }));
    await sleep(300);
    await carla.peer.beginAnew(keys);
    await sleep(300);
    for (const each of [anna, boris]) {
      for (const { sent, lost } of await each.traffic.stopPinging()) {
        expect(sent).toBeGreaterThan(20);
        expect(lost).toEqual([]);
      }
      await bothCounted(scene.node, each);
    }
    for (const { sent, lost } of await carla.traffic.stopPinging()) {
      expect(lost.length).toBeGreaterThan(0);
      // Those before and after came back.
      expect(lost).not.toContain(0);
      expect(lost).not.toContain(sent - 1);
    }
    expect((await toldOf(scene.node, carla)).received).toBeGreaterThan(5 * countedOf(pingBytes));
    await bothCounted(scene.node, carla, { key: keys.publicKey });
    await scene.node.grpc.syncUser(carla.user);
    await carla.peer.beginAnew(carla.keys);
  });
});

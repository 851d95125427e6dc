import { setTimeout as sleep } from "node:timers/promises";
import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { StatType, type User } from "../../gen/service/node_pb.ts";
import { kernelHasWireGuard } from "../support/kernel-wireguard.ts";
import { mayMakeNamespaces } from "../support/network-namespace.ts";
import type { NodeCaller } from "../support/node-caller.ts";
import { tapUapi } from "../support/uapi-tap.ts";
import { makeKeys } from "../support/wireguard-peer.ts";
import {
  type ConnectedPerson,
  countedOf,
  handshakeBytes,
  listenPort,
  type Person,
  startScene,
  type WireGuardScene,
} from "../support/wireguard-scene.ts";
import { failureOf } from "./harness.ts";

/** Only what a process is asked can be listened to; what the kernel is asked shows in what it holds. */
const isProcess = !(await kernelHasWireGuard());

describe.skipIf(!(await mayMakeNamespaces()))("a node with WireGuard", () => {
  let scene: WireGuardScene;
  let anna: ConnectedPerson;
  let boris: ConnectedPerson;

  beforeAll(async () => {
    scene = await startScene();
    anna = await scene.connect(scene.person(2));
    boris = await scene.connect(scene.person(3));
  });
  afterAll(() => scene?.close());
  beforeEach(async () => {
    await scene.node.grpc.start(scene.backend([anna.user, boris.user]));
    await becomes(peersOf(anna, boris));
    // Of a session that only they remember peers find out after a quarter of a minute.
    for (const each of [anna, boris]) {
      await each.peer.beginAnew();
      await carry(each, 1);
    }
  });

  const over: [string, () => NodeCaller][] = [
    ["gRPC", () => scene.node.grpc],
    ["REST", () => scene.node.rest],
  ];
  const carry = (somebody: ConnectedPerson, count = 10, bytes = 1_000, family: "v4" | "v6" = "v4") =>
    somebody.traffic.datagrams({ ...scene.target[family], count, bytes });
  /** Who is on the interface, by key, with their addresses. */
  const peers = async () =>
    Object.fromEntries((await scene.held()).peers.map(({ publicKey, allowedIps }) => [publicKey, allowedIps]));
  const peersOf = (...people: Person[]) =>
    Object.fromEntries(people.map(({ keys, ips }) => [keys.publicKey, [...ips]]));
  const becomes = (expected: Record<string, readonly string[]>) =>
    expect.poll(peers, { timeout: 3_000, interval: 20 }).toEqual(expected);
  /**
   * Does something, and fails unless those who are connected notice nothing: nothing of theirs is written to WireGuard.
   * Returns what was written, if it can be known.
   */
  const untouched = async (those: ConnectedPerson[], change: () => Promise<unknown>) => {
    for (const each of those) await carry(each, 1);
    const of = async () =>
      (await scene.held()).peers
        .filter(({ publicKey }) => those.some(({ keys }) => keys.publicKey === publicKey))
        .map(({ receivedBytes: _, sentBytes: __, ...rest }) => rest);
    const handshakes = () => Promise.all(those.map(async ({ peer }) => (await peer.state()).lastHandshake));
    const before = [await of(), await handshakes()];
    const tap = isProcess ? await tapUapi(scene.name) : undefined;
    try {
      await change();
      for (const { keys } of those) {
        const hex = Buffer.from(keys.publicKey, "base64").toString("hex");
        expect(tap?.writes.join("\n\n") ?? "").not.toContain(hex);
      }
    } finally {
      await tap?.close();
    }
    for (const each of those) await carry(each, 1);
    expect([await of(), await handshakes()]).toEqual(before);
    return tap?.writes;
  };
  const shown = async (request: Parameters<NodeCaller["stats"]>[0], caller = scene.node.grpc) =>
    (await caller.stats(request)).stats
      .map(({ name, type, link, value }) => [name, type, link, Number(value)])
      .sort((left, right) => String(left).localeCompare(String(right)));
  const drain = async () => {
    for (const type of [StatType.UsersStat, StatType.Outbounds]) await scene.node.grpc.stats({ type, reset: true });
    // A reset counts once its reply is delivered.
    await scene.node.grpc.info();
  };

  describe.each(over)("over %s", (_, caller) => {
    it("70. Start makes the interface with its addresses and peers", async () => {
      await caller().stop();
      const preSharedKey = makeKeys().privateKey;
      const info = await caller().start(scene.backend([anna.user], { pre_shared_key: preSharedKey }));
      expect(info).toMatchObject({ started: true });
      expect(info.coreVersion).toMatch(/^\d+\.\d+\.\d+/);
      const { privateKey, listenPort: port, peers } = await scene.held();
      expect([privateKey, port]).toEqual([scene.serverKeys.privateKey, listenPort]);
      expect(peers).toMatchObject([
        { publicKey: anna.keys.publicKey, allowedIps: [...anna.ips], preSharedKey, keepalive: "off" },
      ]);
      const [link] = JSON.parse(await scene.inside("ip", "-json", "address", "show", "dev", scene.name));
      expect(link.flags).toContain("UP");
      expect(
        link.addr_info
          .filter(({ scope }: { scope: string }) => scope === "global")
          .map(({ local, prefixlen }: { local: string; prefixlen: number }) => `${local}/${prefixlen}`),
      ).toEqual(["10.66.0.1/24", "fd66::1/64"]);
      // Nobody else has the key that peers share: the config without it lets Anna in.
      await anna.peer.beginAnew();
      await expect(carry(anna, 1)).rejects.toThrow();
      await caller().start(scene.backend([anna.user]));
      await anna.peer.beginAnew();
      await carry(anna, 1);
      await carry(anna, 1, 1_000, "v6");
    });

    it("71. SyncUser adds, changes and removes a peer, and nobody else notices", async () => {
      const carla = scene.person(4);
      const writes = await untouched([anna, boris], async () => {
        await caller().syncUser(carla.user);
        expect(await peers()).toEqual(peersOf(anna, boris, carla));
        await caller().syncUser(scene.userWith(carla, { peerIps: ["10.66.0.44/32"] }));
        expect(await peers()).toEqual({ ...peersOf(anna, boris), [carla.keys.publicKey]: ["10.66.0.44/32"] });
        const other = makeKeys().publicKey;
        await caller().syncUser(scene.userWith(carla, { publicKey: other }));
        expect(await peers()).toMatchObject({ [other]: [...carla.ips] });
        await becomes({ ...peersOf(anna, boris), [other]: [...carla.ips] });
        await caller().syncUser({ ...carla.user, inbounds: [] });
        expect((await peers())[other] ?? []).toEqual([]);
        await becomes(peersOf(anna, boris));
      });
      if (writes !== undefined) expect(writes.length).toBeGreaterThanOrEqual(4);
    });

    it("72. SyncUsers with one change keeps the sessions of all others", async () => {
      const carla = scene.person(4);
      await untouched([anna, boris], async () => {
        await caller().syncUsers({ users: [anna.user, boris.user, carla.user] });
        expect(await peers()).toEqual(peersOf(anna, boris, carla));
        await caller().syncUsers({ users: [anna.user, boris.user] });
        await becomes(peersOf(anna, boris));
      });
      await untouched([anna], async () => {
        await caller().syncUsers({ users: [anna.user] });
        await becomes(peersOf(anna));
      });
    });

    it("72. more than a hundred users at once, in chunks, touch nobody else", async () => {
      const many = Array.from({ length: 150 }, (_, index) => scene.person(10 + index));
      const users = many.map(({ user }) => user);
      await untouched([anna, boris], async () => {
        await caller().syncChunked(
          { index: 0n, users: users.slice(0, 80) },
          { index: 1n, users: users.slice(80), last: true },
        );
        expect(await peers()).toEqual(peersOf(anna, boris, ...many));
        await caller().syncUsers({ users: [anna.user, boris.user] });
        await becomes(peersOf(anna, boris));
      });
    });

    it("a full sync of the same users, and the same Start, write nothing", async () => {
      const writes = await untouched([anna, boris], async () => {
        await caller().syncUsers({ users: [boris.user, anna.user] });
        await caller().syncChunked({ users: [boris.user, anna.user], last: true });
        await caller().syncUser(anna.user);
        await caller().start(scene.backend([anna.user, boris.user]));
        await sleep(700); // nor later
      });
      expect(writes ?? []).toEqual([]);
    });

    it("73. counters are told as the original tells them, with the bytes that were carried", async () => {
      // Without Boris: to one who was there and is silent WireGuard sends something now and then.
      await caller().stop();
      await caller().start(scene.backend([anna.user, scene.person(248).user]));
      await drain();
      await anna.peer.beginAnew();
      await carry(anna, 20, 1_000);
      await carry(anna, 5, 77, "v6");
      const data = 20 * countedOf(1_000) + 5 * countedOf(77, "v6");
      const [received, sent] = [data + handshakeBytes.begun, data + handshakeBytes.answered];
      // Both ends count a packet a moment after they have sent it.
      await vi.waitFor(async () =>
        expect(await anna.peer.state()).toMatchObject({ sentBytes: received, receivedBytes: sent }),
      );
      const users = [
        ["2", "downlink", anna.keys.publicKey, received],
        ["2", "uplink", anna.keys.publicKey, sent],
      ];
      await expect.poll(() => shown({ type: StatType.UserStat, name: "2" }, caller())).toEqual(users);
      expect(await shown({ type: StatType.UserStat, name: "248" }, caller())).toEqual([]);
      expect(await shown({ type: StatType.UsersStat, reset: true }, caller())).toEqual(users);
      await caller().info();
      expect(await shown({ type: StatType.UsersStat }, caller())).toEqual([]);

      const packets = 20 * 1_028 + 5 * (48 + 77);
      const [down, up] = await shown({ type: StatType.Outbounds }, caller());
      expect(down).toEqual([scene.name, "downlink", "interface", packets]);
      expect(up?.slice(0, 3)).toEqual([scene.name, "uplink", "interface"]);
      // The kernel sends some of its own into a new interface: who is there?
      expect(Number(up?.[3])).toBeGreaterThanOrEqual(packets);
      expect(Number(up?.[3])).toBeLessThan(packets + 1_000);
      expect((await shown({ type: StatType.Outbound, name: scene.name }, caller()))[0]).toEqual(down);
    });

    it("73. it counts no inbounds, and says so", async () => {
      for (const request of [{ type: StatType.Inbounds }, { type: StatType.Inbound, name: scene.name }]) {
        const { text, status, code } = await failureOf(caller().stats(request));
        expect(text.trim()).toBe("inbound stats not applicable for wireguard");
        expect(status ?? code).toBe(status === undefined ? Code.InvalidArgument : 400);
      }
    });

    it("73. who is connected is online from there, and an unknown user is nowhere", async () => {
      await carry(anna, 1);
      expect(await caller().online("2")).toMatchObject({ name: "2", value: 1n });
      const { ips } = await caller().onlineAddresses("2");
      expect(Object.keys(ips)).toEqual([anna.address]);
      expect(Math.abs(Number(ips[anna.address]) - Date.now() / 1_000)).toBeLessThan(5);
      await caller().syncUser(scene.person(249).user);
      for (const email of ["249", "nobody"]) {
        expect(await caller().online(email)).toMatchObject({ name: email, value: 0n });
        expect((await caller().onlineAddresses(email)).ips).toEqual({});
      }
    });

    it("74. an address that two users ask for goes to one, the other is named with both, and who is outside is left out", async () => {
      const [carla, dario, emma] = [scene.person(4), scene.person(5), scene.person(6)];
      const greedy = scene.userWith(dario, { peerIps: ["10.66.0.5/32", carla.ips[0]] });
      const outside = scene.userWith(emma, { peerIps: ["192.0.2.6/32"] });
      const call = () => caller().syncChunked({ users: [carla.user, greedy, outside], last: true });
      const { text, status, code } = await failureOf(call());
      expect(text.trim()).toBe(
        `failed to update users: 5 on ${scene.name}: duplicate wireguard allowed IP ${carla.ips[0]} of users 4 and 5`,
      );
      expect(status ?? code).toBe(status === undefined ? Code.Internal : 500);
      expect(await peers()).toEqual(peersOf(anna, boris, carla));
      await caller().syncChunked({ users: [dario.user, outside], last: true });
      expect(await peers()).toEqual(peersOf(anna, boris, carla, dario));
    });

    it("an address or a key never moves silently from one user to another", async () => {
      const carla = scene.person(4);
      const thieves: [User, string][] = [
        [scene.userWith(carla, { peerIps: [anna.ips[0]] }), `duplicate wireguard allowed IP ${anna.ips[0]}`],
        [scene.userWith(carla, { publicKey: anna.keys.publicKey }), "wireguard public key of user 4 is already"],
      ];
      for (const [thief, why] of thieves) {
        const writes = await untouched([anna, boris], async () => {
          for (const call of [
            () => caller().syncUser(thief),
            () => caller().syncUsers({ users: [thief, anna.user, boris.user] }),
            () => caller().syncChunked({ users: [thief], last: true }),
          ])
            expect((await failureOf(call())).text).toContain(why);
        });
        expect(writes ?? []).toEqual([]);
        expect(await peers()).toEqual(peersOf(anna, boris));
      }
    });

    it.each([
      ["key", { publicKey: "" }],
      ["addresses", { peerIps: [] }],
      ["addresses, all outside,", { peerIps: ["192.0.2.7/32"] }],
    ])("a user whose %s became empty is removed", async (_what, wireguard) => {
      await untouched([boris], async () => {
        await caller().syncUser(scene.userWith(anna, wireguard));
        expect((await peers())[anna.keys.publicKey] ?? []).toEqual([]);
        await becomes(peersOf(boris));
      });
    });

    it("an invalid pre-shared key is an error, and what runs is not touched", async () => {
      for (const key of ["abc", Buffer.alloc(31).toString("base64"), `${makeKeys().publicKey}x`]) {
        const writes = await untouched([anna, boris], async () => {
          const { text } = await failureOf(caller().start(scene.backend([anna.user], { pre_shared_key: key })));
          expect(text).toContain("invalid wireguard pre_shared_key");
          expect(text).not.toContain(key);
        });
        expect(writes ?? []).toEqual([]);
      }
      await caller().stop();
      await failureOf(caller().start(scene.backend([anna.user], { pre_shared_key: "abc" })));
      expect(await caller().info()).toMatchObject({ started: false });
      await expect(scene.held()).rejects.toThrow();
    });

    it("an interface that it has not made is never removed", async () => {
      const foreign = `${scene.name}f`;
      await scene.inside("ip", "link", "add", foreign, "type", "bridge");
      onTestFinished(async () => void (await scene.inside("ip", "link", "delete", foreign)));
      const index = async () => JSON.parse(await scene.inside("ip", "-json", "link", "show", foreign))[0].ifindex;
      const before = await index();
      const start = () => caller().start(scene.backend([anna.user], { interface_name: foreign }));
      await untouched([anna, boris], async () => {
        expect((await failureOf(start())).text).toContain(`there is an interface ${foreign} already`);
      });
      await caller().stop();
      expect((await failureOf(start())).text).toContain(`there is an interface ${foreign} already`);
      expect(await caller().info()).toMatchObject({ started: false });
      expect(await index()).toBe(before);
    });

    it.skipIf(!isProcess)(
      "who is refused by WireGuard itself leaves nothing half made, and all others are set",
      async () => {
        const [carla, dario, emma] = [scene.person(4), scene.person(5), scene.person(6)];
        const hex = Buffer.from(dario.keys.publicKey, "base64").toString("hex");
        // Behind its back the real one is given an address that is none: it makes the peer, and then refuses.
        const tap = await tapUapi(scene.name, (request) =>
          request.replace(new RegExp(`(public_key=${hex}\\n(?:(?!public_key).*\\n)*?allowed_ip=)[^\\n]*`), "$1nowhere"),
        );
        onTestFinished(() => tap.close());
        const { text, status, code } = await failureOf(
          caller().syncUsers({ users: [anna.user, carla.user, dario.user, emma.user, boris.user] }),
        );
        expect(text).toMatch(new RegExp(`^failed to update users: 5 on ${scene.name}: WireGuard refuses`));
        expect(status ?? code).toBe(status === undefined ? Code.Internal : 500);
        expect(await peers()).toEqual(peersOf(anna, boris, carla, emma));
        await tap.close();
        // Now it is taken.
        await caller().syncUser(dario.user);
        expect(await peers()).toEqual(peersOf(anna, boris, carla, dario, emma));
        await carry(anna, 1);
      },
    );

    it("the last bytes of a user who is removed are told", async () => {
      await carry(anna, 1);
      await drain();
      const before = await anna.peer.state();
      await carry(anna, 30, 500);
      await caller().syncUser({ ...anna.user, inbounds: [] });
      await becomes(peersOf(boris));
      const after = await anna.peer.state();
      expect(await shown({ type: StatType.UserStat, name: "2" }, caller())).toEqual([
        ["2", "downlink", anna.keys.publicKey, after.sentBytes - before.sentBytes],
        ["2", "uplink", anna.keys.publicKey, after.receivedBytes - before.receivedBytes],
      ]);
      expect(after.sentBytes - before.sentBytes).toBe(30 * countedOf(500));
      await caller().stats({ type: StatType.UsersStat, reset: true });
      await caller().info();
      expect((await shown({ type: StatType.UsersStat }, caller())).filter(([name]) => name === "2")).toEqual([]);
      expect((await failureOf(caller().stats({ type: StatType.UserStat, name: "2" }))).text.trim()).toBe(
        "user not found",
      );
      // She comes back, and is counted on.
      await caller().syncUser(anna.user);
      await anna.peer.beginAnew();
      await carry(anna, 3, 500);
      const [down] = await shown({ type: StatType.UserStat, name: "2" }, caller());
      expect(Number(down?.[3])).toBeGreaterThanOrEqual(3 * countedOf(500));
    });

    it("75. Stop takes away its own rules, and no others", async () => {
      const { inside, network, name } = scene;
      await caller().stop();
      await inside("ip", "route", "add", "default", "via", network.outside.v4);
      onTestFinished(async () => {
        await inside("ip", "route", "delete", "default");
        await inside("nft", "flush", "ruleset");
      });
      await inside(
        "nft",
        "add table inet others { chain forward { type filter hook forward priority 0; policy drop; }; }",
      );
      await inside("nft", "add rule inet others forward ip saddr 192.0.2.1 accept comment theirs");
      await inside("nft", "add table ip nat_of_others { chain out { type nat hook postrouting priority 100; }; }");
      const state = async () => [
        await inside("nft", "list", "ruleset"),
        await inside("sysctl", "net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"),
      ];
      const before = await state();
      await caller().start(scene.backend([anna.user]));
      const [rules, switches] = await state();
      expect(rules).toMatch(new RegExp(`iifname "${name}".*accept`));
      expect(rules).toContain("masquerade");
      expect(rules).toContain("theirs");
      expect(switches).toContain("net.ipv4.ip_forward = 1");
      // As often as one likes.
      await caller().start(scene.backend([anna.user]));
      expect((await state())[0]).toBe(rules);
      await caller().stop();
      expect(await state()).toEqual(before);
    });

    it("75. Stop takes the interface away, and counts a last time", async () => {
      await drain();
      await carry(anna, 7, 300);
      await caller().stop();
      await expect(scene.held()).rejects.toThrow();
      expect(await scene.inside("ip", "-brief", "link", "show")).not.toContain(scene.name);
      expect((await failureOf(caller().stats({ type: StatType.UsersStat }))).text.trim()).toBe(
        "backend not initialized",
      );
      await caller().start(scene.backend([]));
      const [down, up] = await shown({ type: StatType.UsersStat }, caller());
      expect(down?.slice(0, 3)).toEqual(["2", "downlink", anna.keys.publicKey]);
      for (const each of [down, up]) expect(Number(each?.[3])).toBeGreaterThanOrEqual(7 * countedOf(300));
    });
  });
});

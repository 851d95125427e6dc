import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type User, UserSchema } from "../../../../gen/service/node_pb.ts";
import { readCidr } from "./cidr.ts";
import { type Peer, type PeersDiff, PeerTable } from "./users.ts";

const key = (number: number) => Buffer.alloc(32, number).toString("base64");
const user = (email: string, publicKey = key(1), peerIps = ["10.8.0.2/32"], inbounds = ["wg0"]): User =>
  create(UserSchema, { email, inbounds, proxies: { wireguard: { publicKey, peerIps } } });

function openTable(addresses = ["10.8.0.1/16", "fd00::1/64"]) {
  const table = new PeerTable({
    interfaceName: "wg0",
    addresses: addresses.flatMap((address) => readCidr(address) ?? []),
    publicKey: key(99),
  });
  const apply = async (users: User[], replace = false): Promise<PeersDiff> => {
    const diff = await table.diff(users, replace);
    for (const difference of diff.differences) table.settle(difference);
    return diff;
  };
  const held = () => Array.from(table.peers(), ({ email, publicKey, allowedIps }) => [email, publicKey, ...allowedIps]);
  return { table, apply, held };
}

test("a user with key and addresses is a peer, with canonical ranges", async () => {
  const { apply, held, table } = openTable();
  const { skipped, rejected } = await apply([user("a", key(1), ["10.8.0.2/32", "FD00:0::2/128", "10.8.0.2/32"])]);
  expect({ skipped, rejected }).toEqual({ skipped: [], rejected: [] });
  expect(held()).toEqual([["a", key(1), "10.8.0.2/32", "fd00::2/128"]]);
  expect(table.emailOf(key(1))).toBe("a");
  expect(table.has("a")).toBe(true);
});

test("what has not changed is no difference", async () => {
  const { apply } = openTable();
  await apply([user("a"), user("b", key(2), ["10.8.0.3/32"])]);
  expect((await apply([user("b", key(2), ["10.8.0.3/32"]), user("a")], true)).differences).toEqual([]);
});

test("of several with one e-mail the last counts", async () => {
  const { apply, held } = openTable();
  await apply([user("a", key(1)), user("a", key(2), ["10.8.0.9/32"])]);
  expect(held()).toEqual([["a", key(2), "10.8.0.9/32"]]);
});

test.each([
  ["no e-mail", user("")],
  ["no wireguard public key", user("a", "")],
  ["wireguard public key is not 32 bytes in base64", user("a", "AAAA")],
  ["wireguard public key is the node's own", user("a", key(99))],
  ["no wireguard peer IP", user("a", key(1), [])],
  ["wireguard peer IP is no CIDR", user("a", key(1), ["10.8.0.2/32", "10.8.0.2"])],
  ["wireguard peer IPs are outside of the interface's addresses", user("a", key(1), ["10.9.0.2/32", "10.0.0.0/8"])],
])("a user is left out, and told: %s", async (reason, asking) => {
  const { apply, held } = openTable();
  await apply([user("a"), user("", key(7), ["10.8.7.7/32"])]);
  expect((await apply([asking])).skipped).toEqual([{ email: asking.email, inbound: "wg0", reason }]);
  expect(held().filter(([email]) => email === asking.email)).toEqual([]);
});

test("who comes and who goes is told, with a peer or without", async () => {
  const { apply } = openTable();
  const told = async (users: User[], replace = false) => [...(await apply(users, replace)).comeAndGone].sort();
  const elsewhere = (email: string) => user(email, key(3), ["10.8.0.4/32"], ["elsewhere"]);
  const nowhere = (email: string) => user(email, key(3), ["10.8.0.4/32"], []);
  expect(await told([user("a"), elsewhere("b")])).toEqual(["a", "b"]);
  expect(await told([user("a", key(5)), elsewhere("b")])).toEqual([]);
  expect(await told([elsewhere("c"), nowhere("c"), nowhere("b")])).toEqual(["b"]);
  expect(await told([nowhere("a"), user("a")])).toEqual([]);
  expect(await told([elsewhere("d"), elsewhere("d")], true)).toEqual(["a", "d"]);
  expect(await told([elsewhere("d")], true)).toEqual([]);
  expect(await told([], true)).toEqual(["d"]);
});

test("addresses outside of the interface's are ignored beside others", async () => {
  const { apply, held } = openTable();
  expect((await apply([user("a", key(1), ["192.0.2.1/32", "10.8.0.2/32"])])).skipped).toEqual([]);
  expect(held()).toEqual([["a", key(1), "10.8.0.2/32"]]);
});

test("a user without the interface's tag, or without inbounds, is no peer", async () => {
  const { apply, held, table } = openTable();
  await apply([user("a"), user("b", key(2), ["10.8.0.3/32"])]);
  await apply([user("a", key(1), ["10.8.0.2/32"], ["xray-in"]), user("b", key(2), ["10.8.0.3/32"], [])]);
  expect(held()).toEqual([]);
  expect([table.has("a"), table.has("b")]).toEqual([true, false]);
});

describe("what another user has", () => {
  test("an address is refused, and both stay as they are", async () => {
    const { apply, held } = openTable();
    await apply([user("a"), user("b", key(2), ["10.8.0.3/32"])]);
    const { rejected, differences } = await apply([user("b", key(2), ["10.8.0.2/32"])]);
    expect(rejected).toEqual([
      { email: "b", inbound: "wg0", reason: "duplicate wireguard allowed IP 10.8.0.2/32 of users a and b" },
    ]);
    expect(differences).toEqual([]);
    expect(held()).toEqual([
      ["a", key(1), "10.8.0.2/32"],
      ["b", key(2), "10.8.0.3/32"],
    ]);
  });

  test("a key is refused", async () => {
    const { apply } = openTable();
    await apply([user("a")]);
    expect((await apply([user("b", key(1), ["10.8.0.3/32"])])).rejected).toMatchObject([
      { email: "b", reason: "wireguard public key of user b is already assigned to user a" },
    ]);
  });

  test("can be had when they give it up in the same breath, also in a swap", async () => {
    const { apply, held } = openTable();
    await apply([user("a"), user("b", key(2), ["10.8.0.3/32"])]);
    expect((await apply([user("a", key(1), ["10.8.0.3/32"]), user("b", key(2), ["10.8.0.2/32"])])).rejected).toEqual(
      [],
    );
    expect(held()).toEqual([
      ["a", key(1), "10.8.0.3/32"],
      ["b", key(2), "10.8.0.2/32"],
    ]);
    expect((await apply([user("c", key(1), ["10.8.0.3/32"])], true)).rejected).toEqual([]);
    expect(held()).toEqual([["c", key(1), "10.8.0.3/32"]]);
  });

  test("cannot be had when they do not get what they give it up for", async () => {
    const { apply, held } = openTable();
    await apply([user("a"), user("b", key(2), ["10.8.0.3/32"]), user("c", key(3), ["10.8.0.4/32"])]);
    // b may not have what a has, and so keeps what c asks for.
    const { rejected } = await apply([user("c", key(3), ["10.8.0.3/32"]), user("b", key(2), ["10.8.0.2/32"])]);
    expect(rejected.map(({ email }) => email).sort()).toEqual(["b", "c"]);
    expect(held()).toHaveLength(3);
  });
});

test("many who are refused do not have all others looked at for each", async () => {
  const { apply, held } = openTable(["10.0.0.0/8"]);
  const keyOf = (number: number) => Buffer.from(`${number}`.padStart(32, "0")).toString("base64");
  const some = (count: number, publicKey: (number: number) => string) =>
    Array.from({ length: count }, (_, number) => {
      return user(`${number}`, publicKey(number), [`10.1.${number >> 8}.${number & 255}/32`]);
    });
  const count = 2_000;
  await apply(some(count, keyOf));
  const before = held();
  // The second half ask for the keys of the first.
  const asking = some(count, (number) => keyOf(number % (count / 2)));
  await withinLookups(100 * count, async () => {
    const { rejected, differences } = await apply(asking, true);
    expect([rejected.length, differences.length]).toEqual([count / 2, 0]);
  });
  expect(held()).toEqual(before);
});

test("many who are refused one because of the other do not have all looked at for each", async () => {
  const { apply, held } = openTable(["10.0.0.0/8"]);
  const keyOf = (number: number) => Buffer.from(`${number}`.padStart(32, "0")).toString("base64");
  const count = 2_000;
  const some = (place: (number: number) => number) =>
    Array.from({ length: count }, (_, number) => {
      return user(`${number}`, keyOf(number), [`10.1.${place(number) >> 8}.${place(number) & 255}/32`]);
    });
  await apply(some((number) => number));
  const before = held();
  // Everybody asks for the place of the next, and the last for one that is asked for already.
  const next = some((number) => (number < count - 1 ? number + 1 : 1));
  await withinLookups(100 * count, async () => {
    const { rejected, differences } = await apply(next, true);
    expect([rejected.length, differences.length]).toEqual([count, 0]);
  });
  expect(held()).toEqual(before);
});

/** Does something that may ask maps only so often: what grows with the square of the users asks more. */
async function withinLookups(most: number, work: () => Promise<void>): Promise<void> {
  const { get, has } = Map.prototype;
  let lookups = 0;
  const counted = (ask: typeof get) =>
    function (this: Map<unknown, unknown>, key: unknown) {
      lookups += 1;
      if (lookups > most) throw new Error(`there are more than ${most} lookups`);
      return ask.call(this, key);
    };
  Object.assign(Map.prototype, { get: counted(get), has: counted(has) });
  try {
    await work();
  } finally {
    Object.assign(Map.prototype, { get, has });
  }
}

test("whatever is asked for, no key and no range has two users, and everybody is served, left out or refused", async () => {
  const someUser = fc
    .record({
      email: fc.constantFrom("a", "b", "c", "d"),
      publicKey: fc.constantFrom(key(1), key(2), key(3), "", "?"),
      peerIps: fc.array(fc.constantFrom("10.8.0.2/32", "10.8.0.3/32", "10.8.0.4/32", "fd00::2/128", "1.1.1.1/32"), {
        maxLength: 3,
      }),
      inbounds: fc.constantFrom<string[]>(["wg0"], ["wg0", "x"], ["x"], []),
    })
    .map(({ email, publicKey, peerIps, inbounds }) => user(email, publicKey, peerIps, inbounds));
  const calls = fc.array(fc.record({ users: fc.array(someUser, { maxLength: 5 }), replace: fc.boolean() }), {
    maxLength: 8,
  });
  await fc.assert(
    fc.asyncProperty(calls, async (sequence) => {
      const { table, apply } = openTable();
      for (const { users, replace } of sequence) {
        const { skipped, rejected } = await apply(users, replace);
        const peers: Peer[] = [...table.peers()];
        const owned = peers.flatMap(({ publicKey, allowedIps }) => [publicKey, ...allowedIps]);
        expect(new Set(owned).size).toBe(owned.length);
        const excused = new Set([...skipped, ...rejected].map(({ email }) => email));
        for (const [email, last] of new Map(users.map((each) => [each.email, each]))) {
          const holds = peers.find((peer) => peer.email === email);
          if (!last.inbounds.includes("wg0")) expect(holds).toBeUndefined();
          else if (!excused.has(email)) expect(holds?.publicKey).toBe(last.proxies?.wireguard?.publicKey);
        }
        if (replace) for (const { email } of peers) expect(users.map((each) => each.email)).toContain(email);
      }
    }),
  );
});

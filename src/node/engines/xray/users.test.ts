import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { type User, UserSchema } from "../../../../gen/service/node_pb.ts";
import { readXrayConfig } from "./config.ts";
import { UserTable } from "./users.ts";
import type { UsersDiff } from "./users-diff.ts";

const { inbounds } = readXrayConfig(
  JSON.stringify({
    inbounds: [
      { tag: "a", protocol: "vless" },
      { tag: "b", protocol: "trojan" },
      { tag: "c", protocol: "vless" },
    ],
  }),
  { excludeInbounds: [], apiSocket: "/x" },
);

const idOf = (digit: number) => `0000000${digit}-0000-4000-8000-000000000000`;

function user(email: string, tags: string[], digit = 1): User {
  return create(UserSchema, {
    email,
    inbounds: tags,
    proxies: { vless: { id: idOf(digit) }, trojan: { password: `p${digit}` } },
  });
}

/** A table that holds these users. */
async function tableOf(...users: User[]): Promise<UserTable> {
  const table = new UserTable(inbounds);
  await table.settle((await table.diff(users, true)).changes);
  return table;
}

/** `<tag> <e-mail> <secret> -> <e-mail> <secret>`, `-` for nothing. */
function changesOf({ changes }: UsersDiff): string[] {
  return changes
    .map(({ inbound, before, after }) =>
      [
        inbound.tag,
        before ? `${before.email}=${before.secret[7] ?? before.secret}` : "-",
        after ? `${after.email}=${after.secret[7] ?? after.secret}` : "-",
      ].join(" "),
    )
    .sort();
}

describe("a difference", () => {
  test("adds a user where they ask to be, tags that nobody has aside", async () => {
    const table = await tableOf();
    const diff = await table.diff([user("1", ["a", "b", "x<=>y"])], false);
    expect(changesOf(diff)).toEqual(["a - 1=1", "b - 1=p1"]);
    expect(diff.skipped).toEqual([]);
  });

  test("is empty for users who are as they were, however often it is asked for", async () => {
    const users = [user("1", ["a", "b", "c"]), user("2", ["c"], 2)];
    const table = await tableOf(...users);
    expect(changesOf(await table.diff(users, false))).toEqual([]);
    expect(changesOf(await table.diff(users, true))).toEqual([]);
  });

  test("touches nobody but those named, unless it replaces", async () => {
    const table = await tableOf(user("1", ["a"]), user("2", ["a"], 2));
    expect(changesOf(await table.diff([user("1", ["a"], 3)], false))).toEqual(["a 1=1 1=3"]);
    expect(changesOf(await table.diff([user("1", ["a"], 3)], true))).toEqual(["a 1=1 1=3", "a 2=2 -"]);
  });

  test("removes a user from inbounds that they do not name any more, and from all with none", async () => {
    const table = await tableOf(user("1", ["a", "b"]));
    expect(changesOf(await table.diff([user("1", ["b", "c"])], false))).toEqual(["a 1=1 -", "c - 1=1"]);
    expect(changesOf(await table.diff([user("1", [])], false))).toEqual(["a 1=1 -", "b 1=p1 -"]);
    expect(changesOf(await table.diff([user("2", [])], false))).toEqual([]);
  });

  test("takes the last of several with the same e-mail", async () => {
    const table = await tableOf();
    expect(changesOf(await table.diff([user("1", ["a"], 1), user("1", ["a"], 2)], false))).toEqual(["a - 1=2"]);
  });

  test("skips a user where they are unusable, and takes them away there", async () => {
    const table = await tableOf(user("1", ["a", "b"]));
    const broken = create(UserSchema, { email: "1", inbounds: ["a", "b"], proxies: { trojan: { password: "p1" } } });
    const diff = await table.diff([broken], false);
    expect(changesOf(diff)).toEqual(["a 1=1 -"]);
    expect(diff.skipped).toEqual([{ email: "1", inbound: "a", reason: "no vless id" }]);
  });

  test("skips a user without e-mail", async () => {
    const diff = await (await tableOf()).diff([user("", ["a"])], true);
    expect(changesOf(diff)).toEqual([]);
    expect(diff.skipped).toEqual([{ email: "", inbound: "a", reason: "no e-mail" }]);
  });

  test("rejects an e-mail that another user has in other letters, as Xray would", async () => {
    const table = await tableOf(user("Ann", ["a"]));
    const diff = await table.diff([user("ann", ["a", "b"], 2)], false);
    expect(changesOf(diff)).toEqual(["b - ann=p2"]);
    expect(diff.rejected).toEqual([{ email: "ann", inbound: "a", reason: "User Ann already exists." }]);
    const both = await (await tableOf()).diff([user("X", ["a"]), user("x", ["a"], 2)], true);
    expect(changesOf(both)).toEqual(["a - X=1"]);
    expect(both.rejected).toHaveLength(1);
  });

  test.each([
    ["AΣ", "aσ"],
    ["aσ", "aς"],
    ["s", "ſ"],
    ["İ", "i"],
    ["\u212A", "k"],
  ])("knows that %s and %s are one e-mail to Xray", async (one, other) => {
    const both = await (await tableOf()).diff([user(one, ["a"]), user(other, ["a"], 2)], true);
    expect(changesOf(both)).toEqual([`a - ${one}=1`]);
    expect(both.rejected).toHaveLength(1);
  });

  test.each([
    ["i\u0307", "İ"],
    ["ı", "I"],
    ["ß", "SS"],
    ["ŉ", "ʼN"],
  ])("knows that %s and %s are two", async (one, other) => {
    const both = await (await tableOf()).diff([user(one, ["a"]), user(other, ["a"], 2)], true);
    expect(both.rejected).toEqual([]);
  });

  test("gives such an e-mail away when the other user goes in the same call", async () => {
    const table = await tableOf(user("Ann", ["a"]));
    const renamed = [user("ann", ["a"], 2), user("Ann", [])];
    expect(changesOf(await table.diff(renamed, false))).toEqual(["a Ann=1 ann=2"]);
    expect(changesOf(await table.diff([user("ann", ["a"], 2)], true))).toEqual(["a Ann=1 ann=2"]);
  });

  test("sets a user again whose id another one takes along", async () => {
    const table = await tableOf(user("1", ["a", "b"], 5), user("2", ["a", "c"], 5));
    expect(changesOf(await table.diff([user("1", [])], false))).toEqual(["a 1=5 -", "a 2=5 2=5", "b 1=p5 -"]);
  });

  test("sets again who may or may not be there since Xray stopped answering, until Xray is started with them", async () => {
    const table = await tableOf();
    const [inbound] = inbounds;
    if (inbound === undefined) throw new Error("no inbound");
    table.doubted(inbound, { email: "1", secret: idOf(1), detail: "" });
    expect(table.clientsOf(inbound)).toMatchObject([{ email: "1" }]);
    expect(changesOf(await table.diff([user("1", ["a"])], false))).toEqual(["a 1=1 1=1"]);
    expect(changesOf(await table.diff([user("1", [])], false))).toEqual(["a 1=1 -"]);
    table.started();
    expect(changesOf(await table.diff([user("1", ["a"])], false))).toEqual([]);
  });

  test("of many users lets others have their turn", async () => {
    const table = await tableOf();
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    await table.diff(
      Array.from({ length: 100_000 }, (_, index) => user(`${index}`, ["a", "b", "c"])),
      true,
    );
    clearInterval(timer);
    expect(turns).toBeGreaterThan(3);
  });
});

describe("a table", () => {
  test("knows its users, also where they are unusable, until they are removed", async () => {
    const table = await tableOf(user("1", ["a"]), create(UserSchema, { email: "2", inbounds: ["a"] }), user("3", []));
    expect(["1", "2", "3", "4"].map((email) => table.has(email))).toEqual([true, true, false, false]);
    await table.diff([user("1", [])], false);
    expect(table.has("1")).toBe(false);
    await table.diff([], true);
    expect(table.has("2")).toBe(false);
  });

  test("writes its users as clients of the config", async () => {
    const table = await tableOf(user("1", ["a", "b"]), user("2", ["b"], 2));
    expect(inbounds.map((inbound) => table.clientsOf(inbound))).toEqual([
      [{ id: idOf(1), flow: "", email: "1", level: 0 }],
      [
        { password: "p1", email: "1", level: 0 },
        { password: "p2", email: "2", level: 0 },
      ],
      [],
    ]);
  });
});

test("removing one of very many users takes no longer than removing one of few", async () => {
  const many = Array.from({ length: 20_000 }, (_, index) => {
    const vless = { id: `${String(index).padStart(8, "0")}-0000-4000-8000-000000000000` };
    return create(UserSchema, { email: `${index}`, inbounds: ["a", "c"], proxies: { vless } });
  });
  const few = await tableOf(...many.slice(0, 20));
  const full = await tableOf(...many);
  const timeOf = async (table: UserTable) => {
    const since = performance.now();
    for (let email = 0; email < 20; email++) await table.diff([user(`${email}`, [])], false);
    return performance.now() - since;
  };
  await timeOf(few);
  expect(await timeOf(full)).toBeLessThan(50 * Math.max(2, await timeOf(few)));
});

describe("a table for other inbounds", () => {
  const other = readXrayConfig(
    JSON.stringify({
      inbounds: [
        { tag: "c", protocol: "vless" },
        { tag: "d", protocol: "vless" },
        { tag: "a", protocol: "vless", port: 2 },
      ],
    }),
    { excludeInbounds: [], apiSocket: "/x" },
  ).inbounds;
  const succeeding = (table: UserTable) => UserTable.succeeding(table, other, new Set(["c"]));

  test("holds those of the inbounds that are kept, and nobody else", async () => {
    const users = [user("1", ["a", "b", "c", "d"]), user("2", ["c"], 2)];
    const table = await succeeding(await tableOf(...users));
    expect(changesOf(await table.diff(users, true))).toEqual(["a - 1=1", "d - 1=1"]);
    expect([table.has("1"), table.has("2"), table.has("3")]).toEqual([true, true, false]);
    expect(changesOf(await table.diff([], true))).toEqual(["c 1=1 -", "c 2=2 -"]);
    expect(table.has("1")).toBe(false);
  });

  test("knows whose identities are shared, and of whom nobody knows whether they are there", async () => {
    const before = await tableOf(user("1", ["c"]), user("2", ["c"]));
    const [change] = (await before.diff([user("3", ["c"], 3)], false)).changes;
    if (change?.after !== undefined) before.doubted(change.inbound, change.after);
    const table = await succeeding(before);
    const left = [user("2", ["c"]), user("3", ["c"], 3)];
    expect(changesOf(await table.diff(left, true))).toEqual(["c 1=1 -", "c 2=1 2=1", "c 3=3 3=3"]);
  });

  test("leaves the one before as it was", async () => {
    const users = [user("1", ["a", "c"])];
    const before = await tableOf(...users);
    const table = await succeeding(before);
    await table.settle((await table.diff([], true)).changes);
    expect(changesOf(await before.diff(users, true))).toEqual([]);
  });
});

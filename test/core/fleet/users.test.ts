import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { SubscriptionService, SubscriptionState } from "../../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserOrder, UserService } from "../../../gen/garrison/core/v1/users_pb.ts";
import { refused } from "./expectations.ts";
import { describeFleet, given } from "./scene.ts";

const users = UserService.method;

describeFleet((scene) => {
  const make = async (more: object = {}) =>
    given((await scene.call(users.createUser, { name: scene.unused("user"), ...more })).user);
  const subscribe = async (userId: bigint) =>
    given((await scene.call(SubscriptionService.method.createSubscription, { userId })).subscription);

  test("a user is created, read and noted", async () => {
    const name = `${scene.unused("Zoë")} <"&#:>`;
    const user = await make({ name, note: "line\nline", disabled: true });
    expect(user).toMatchObject({ name, note: "line\nline", enabled: false });
    expect((await scene.call(users.getUser, { id: user.id })).user).toEqual(user);
    expect(await scene.actions(`user:${user.id}`)).toEqual(["user.create"]);
    await refused(scene.call(users.createUser, { name }), Code.AlreadyExists, 409, "NAME_TAKEN");
  });

  test.each([
    ["no name", {}],
    ["a long name", { name: "x".repeat(129) }],
    ["white space around the name", { name: "a " }],
    ["a long note", { name: "bad", note: "x".repeat(4097) }],
  ])("%s is refused", async (_what, request) => {
    await refused(scene.call(users.createUser, request), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
    expect((await scene.call(users.listUsers, { query: "bad" })).users).toEqual([]);
  });

  test.each([{ name: "bad\0" }, { name: "bad", note: "\0" }])("%j is refused on both databases", async (request) => {
    await refused(scene.call(users.createUser, request), Code.InvalidArgument, 400, "FIELD_INVALID");
    expect((await scene.call(users.listUsers, { query: "bad" })).users).toEqual([]);
  });

  test("an update changes what it names; who is disabled is so on all nodes", async () => {
    const [user, other] = [await make({ note: "a" }), await make()];
    const { id } = user;
    const subscription = await subscribe(id);
    scene.fleet.published.splice(0);
    await refused(scene.call(users.updateUser, { id, name: other.name }), Code.AlreadyExists, 409, "NAME_TAKEN");
    await refused(
      scene.call(users.updateUser, { id, updateMask: { paths: ["name"] } }),
      Code.InvalidArgument,
      400,
      "FIELD_INVALID",
    );
    await refused(scene.call(users.updateUser, { id: 999_999n, note: "b" }), Code.NotFound, 404, "USER_UNKNOWN");
    expect((await scene.call(users.getUser, { id })).user).toEqual(user);
    expect((await scene.call(users.updateUser, { id, updateMask: { paths: ["note"] } })).user).toMatchObject({
      note: "",
    });
    expect(scene.fleet.published).toEqual([]);
    expect((await scene.call(users.updateUser, { id, enabled: false })).user).toMatchObject({ enabled: false });
    expect(scene.fleet.published).toEqual([
      { scope: { subscriptionIds: [Number(subscription.id)] }, reason: `user ${id} disabled` },
    ]);
    const { subscription: now } = await scene.call(SubscriptionService.method.getSubscription, { id: subscription.id });
    expect(now).toMatchObject({ enabled: true, state: SubscriptionState.DISABLED });
    expect(await scene.actions(`user:${id}`)).toEqual(["user.update", "user.update", "user.create"]);
  });

  test("a user with subscriptions is deleted only by force, with these", async () => {
    const { id } = await make();
    const subscription = await subscribe(id);
    await refused(scene.call(users.deleteUser, { id }), Code.FailedPrecondition, 409, "USER_IN_USE");
    scene.fleet.published.splice(0);
    await scene.call(users.deleteUser, { id, force: true });
    expect(scene.fleet.published).toEqual([
      { scope: { subscriptionIds: [Number(subscription.id)] }, reason: `user ${id} deleted` },
    ]);
    const { getSubscription } = SubscriptionService.method;
    await refused(scene.call(getSubscription, { id: subscription.id }), Code.NotFound, 404, "SUBSCRIPTION_UNKNOWN");
    await refused(scene.call(users.deleteUser, { id }), Code.NotFound, 404, "USER_UNKNOWN");
    const { id: alone } = await make();
    const { db } = scene.fleet.database;
    const node = await db.insertInto("node").values({ name: scene.unused("n"), host: "", ip: "", created_at: 0 });
    const { id: node_id } = await node.returning("id").executeTakeFirstOrThrow();
    const session = { node_id, protocol: "vless", since: 0, ip_address: "", session_id: "" };
    for (const account_id of [alone, id + 1_000n].map(Number))
      await db
        .insertInto("online_session")
        .values({ ...session, account_id })
        .execute();
    await scene.call(users.deleteUser, { id: alone });
    const online = db.selectFrom("online_session").select("account_id").where("node_id", "=", node_id);
    expect(await online.execute()).toEqual([{ account_id: Number(id) + 1_000 }]);
    await refused(scene.call(users.getUser, { id: alone }), Code.NotFound, 404, "USER_UNKNOWN");
  });

  test.each(["Иван Étienne", "иван étienne", "ИВАН ÉTIENNE"])("who is sought as %s is found", async (query) => {
    const name = scene.unused("sought");
    await make({ name: `${name} Иван Étienne` });
    await make({ name: `${name} note`, note: "Иван Étienne_%" });
    await make({ name: `${name} other`, note: "Иван Etienne 1%" });
    const found = async (text: string) => {
      const { users: all } = await scene.call(users.listUsers, { query: text });
      return all.map((user) => user.name).filter((one) => one.startsWith(name));
    };
    // This server's locale is C, in which letters beyond ASCII have one case.
    const isMissed = scene.fleet.database.engine === "postgres" && query !== "Иван Étienne";
    expect(await found(query)).toEqual(isMissed ? [] : [`${name} Иван Étienne`, `${name} note`]);
    expect(await found(`${query}_%`)).toEqual(isMissed ? [] : [`${name} note`]);
  });

  test.each([
    ["by id", UserOrder.ID],
    ["the newest first", UserOrder.ID_DESC],
    ["by name", UserOrder.NAME],
  ])("pages %s list each user that stays once, whatever comes and goes meanwhile", async (_what, order) => {
    const mark = scene.unused("paged");
    const made = [];
    for (const letter of "fbdaec") made.push(await make({ name: `${mark}-${letter}` }));
    const seen: string[] = [];
    for (let pageToken = "", page = 0; page === 0 || pageToken !== ""; page++) {
      const answer = await scene.call(users.listUsers, { query: mark, order, pageSize: 2, pageToken });
      seen.push(...answer.users.map(({ name }) => name.slice(mark.length + 1)));
      pageToken = answer.nextPageToken;
      if (page > 0) continue;
      // Between two pages somebody comes, in front and behind, and somebody who was listed goes.
      await make({ name: `${mark}-0` });
      await make({ name: `${mark}-z` });
      await scene.call(users.deleteUser, { id: given(answer.users[0]).id });
    }
    for (const letter of "fbdaec") expect(seen.filter((name) => name === letter)).toHaveLength(1);
    expect(new Set(seen).size).toBe(seen.length);
    const first = { id: "fb", "-id": "ce", name: "ab" }[
      order === UserOrder.ID ? "id" : order === UserOrder.NAME ? "name" : "-id"
    ];
    expect(seen.slice(0, 2).join("")).toBe(first);
  });

  test("a page's token is good for its own filters only", async () => {
    const mark = scene.unused("token");
    for (const letter of "ab") await make({ name: `${mark}-${letter}` });
    const { nextPageToken: pageToken } = await scene.call(users.listUsers, { query: mark, pageSize: 1 });
    for (const request of [
      { pageToken },
      { query: mark, enabled: true, pageToken },
      { query: mark, pageToken: "AAAA" },
    ]) {
      await refused(scene.call(users.listUsers, request), Code.InvalidArgument, 400, "PAGE_TOKEN_INVALID");
    }
    for (const pageSize of [-1, 1001]) {
      await refused(scene.call(users.listUsers, { pageSize }), Code.InvalidArgument, 400, "INVALID_ARGUMENT");
    }
    expect((await scene.call(users.listUsers, { query: mark, enabled: false })).users).toEqual([]);
  });
});

import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { UserSchema } from "../../gen/service/node_pb.ts";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols } from "../support/proxy-protocols.ts";
import { restRequest } from "../support/rest-request.ts";
import { admitted } from "../support/users-online.ts";
import { Bridge } from "./bridge-client.ts";
import { type RealNode, startRealNode } from "./real-node.ts";
import { findPythonForBridge, prepareBridge } from "./toolchains.ts";

// The client that panels are built on, as it is published, in the versions that are in use.

const preparingMs = 300_000;
const python = await findPythonForBridge();
const tags = proxyProtocols.map(({ name }) => name);

/** A user as the driver takes it: one id is the credential on every protocol. */
interface Member {
  readonly email: string;
  readonly id: string;
  readonly inbounds: readonly string[];
}

function member(email: string, ...inbounds: string[]): Member {
  return { email, id: crypto.randomUUID(), inbounds };
}

describe.skipIf(python === undefined).each(["0.9.4", "0.8.1"])(
  "pasarguard-node-bridge %s (needs Python 3.12 or newer)",
  (version) => {
    let bridgePython: string;
    let target: ByteTarget;
    let node: RealNode;
    beforeAll(async () => {
      bridgePython = await prepareBridge(python ?? "", version);
      [target, node] = await Promise.all([startByteTarget(), startRealNode()]);
    }, preparingMs);
    afterAll(() => Promise.all([target?.close(), node?.close()]));

    describe.each(["grpc", "rest"])("in its mode %s", (mode) => {
      let bridge: Bridge;
      let ports: number[];
      beforeEach(async () => {
        ports = await freePorts(tags.length);
        bridge = new Bridge(bridgePython, node, mode);
      });
      afterEach(() => bridge.close());

      // The older version knows nothing of routing, and does not tell rejections from failures.
      const testOfNewer = version === "0.8.1" ? () => undefined : test;
      /** How often the node was asked to start, by anybody. */
      const starts = async () => {
        const address = { ...node, ca: await readFile(node.certificate, "utf8") };
        const { text } = await restRequest(address, "GET", "/metrics", { "x-api-key": node.key });
        const counts = [...text.matchAll(/^garrison_calls_total\{[^}]*method="Start"[^}]*\} (\d+)$/gm)];
        return counts.reduce((sum, [, count]) => sum + Number(count), 0);
      };
      const start = (...users: Member[]) => bridge.call("start", { config: nodeConfig(ports), users });
      /** On which protocols a user gets bytes through. */
      const through = async ({ email, id, inbounds }: Member) => {
        const credentials = { vless: { id }, vmess: { id }, trojan: { password: id }, shadowsocks: { password: id } };
        const user = create(UserSchema, { email, inbounds: [...inbounds], proxies: credentials });
        const entrances = proxyProtocols.map((protocol, index) => ({ protocol, port: ports[index] ?? 0, user }));
        const admissions = await admitted(entrances, target);
        return tags.filter((_, index) => admissions[index]);
      };

      test("starts a node, whose users get through, and stops it", async () => {
        const first = member(`1.first-${mode}`, ...tags);
        expect(await start(first)).toMatchObject({
          started: true,
          core_version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        });
        expect(await bridge.call("health")).toBe("HEALTHY");
        expect(await bridge.call("info")).toMatchObject({ started: true });
        expect(await through(first)).toEqual(tags);
        const counted = (await bridge.call("stats", { type: "UserStat", name: first.email })) as { value: number }[];
        expect(counted.reduce((sum, { value }) => sum + value, 0)).toBe(2_000 * tags.length);
        await bridge.call("stop");
        expect(await through(first)).toEqual([]);
      });

      test("brings new users, changed ones and removed ones through its queue, and keeps the engine", async () => {
        const [kept, leaving] = [member("1.kept", ...tags), member("2.leaving", "vless")];
        await start(kept, leaving);
        const engine = await engineOf(node.pid);
        const joining = Array.from({ length: 250 }, (_, index) => member(`${index + 10}.joining`, "vless", "trojan"));
        await bridge.call("update_users", { users: [...joining, { ...leaving, inbounds: [] }] });
        for (const each of [joining[0], joining[249]]) {
          if (each !== undefined)
            await expect.poll(() => through(each), { timeout: 10_000 }).toEqual(["vless", "trojan"]);
        }
        await expect.poll(() => through(leaving), { timeout: 10_000 }).toEqual([]);
        expect(await through(kept)).toEqual(tags);
        expect(await engineOf(node.pid)).toBe(engine);
      });

      testOfNewer(
        "84. to 86. and 98. finds the one user whom Xray refuses; all others are live, and nothing restarts",
        async () => {
          const resident = member("Resident", "vless");
          await start(resident);
          const engine = await engineOf(node.pid);
          const joining = Array.from({ length: 99 }, (_, index) => member(`${index}`, "vless"));
          const refused = member("RESIDENT", "vless");
          await bridge.call("update_users", { users: [...joining, refused] });
          const rejected = { held: ["RESIDENT"], failures: 0, reset: false };
          await expect.poll(() => bridge.call("queue"), { timeout: 10_000 }).toEqual(rejected);
          for (const each of [resident, joining[0], joining[98]])
            if (each) expect(await through(each)).toEqual(["vless"]);
          // What is queued together is sent together.
          const later = member("later", "vless");
          await bridge.call("update_users", { users: [{ ...refused, inbounds: [] }, later] });
          await expect.poll(() => through(later), { timeout: 10_000 }).toEqual(["vless"]);
          const settled = { held: [], failures: 0, reset: false };
          expect(await bridge.call("queue")).toEqual(settled);
          await bridge.call("update_users", { users: [refused] });
          await expect.poll(() => bridge.call("queue"), { timeout: 10_000 }).toEqual(rejected);
          await bridge.call("sync_users", { users: [resident] });
          expect(await bridge.call("queue")).toEqual(settled);
          const next = member("next", "vless");
          await bridge.call("update_users", { users: [next] });
          await expect.poll(() => through(next), { timeout: 10_000 }).toEqual(["vless"]);
          expect(await bridge.call("health")).toBe("HEALTHY");
          expect(await engineOf(node.pid)).toBe(engine);
        },
      );

      testOfNewer("96. two objects that start it at once: one is told 409, and the node sees one Start", async () => {
        const before = await starts();
        const answers = (await bridge.call("start_twice", { config: nodeConfig(ports) })) as unknown[];
        expect(answers).toEqual(expect.arrayContaining([true, 409]));
        expect(await starts()).toBe(before + 1);
      });

      test("replaces all users, or sends some in chunks, and keeps the engine", async () => {
        const [first, second, third] = [member("1", "vless"), member("2", "vmess"), member("3", "shadowsocks")];
        await start(first);
        const engine = await engineOf(node.pid);
        await bridge.call("sync_users", { users: [second] });
        expect([await through(first), await through(second)]).toEqual([[], ["vmess"]]);
        const many = Array.from({ length: 120 }, (_, index) => member(`m${index}`, "trojan"));
        expect(await bridge.call("sync_users_chunked", { users: [...many, third], chunk_size: 50 })).toEqual([]);
        expect([await through(second), await through(third)]).toEqual([["vmess"], ["shadowsocks"]]);
        expect(await engineOf(node.pid)).toBe(engine);
      });

      test("reads what it asks a node for", async () => {
        const user = member("7", "vless");
        await start(user);
        await through(user);
        expect(await bridge.call("backend_stats")).toMatchObject({ num_goroutine: expect.any(Number) });
        expect(await bridge.call("system_stats")).toMatchObject({ cpu_cores: expect.any(Number) });
        const outbound = (await bridge.call("stats", { type: "Outbounds", reset: true })) as { name: string }[];
        expect(outbound.map(({ name }) => name)).toContain("direct");
        const inbound = (await bridge.call("stats", { type: "Inbound", name: "vless" })) as { value: number }[];
        expect(inbound.some(({ value }) => value > 0)).toBe(true);
        expect(await bridge.call("log_lines", { count: 3 })).toHaveLength(3);
      });

      test("asks who is online, and what outbounds were measured at", async () => {
        await start(member("7", "vless"));
        await expect(bridge.call("online", { email: "7" })).rejects.toMatchObject({ code: 404 });
        const unmeasured = { message: expect.stringContaining("xray outbound latency is not available") };
        await expect(bridge.call("latency")).rejects.toMatchObject(unmeasured);
      });

      testOfNewer("changes the routing, and asks for it", async () => {
        const config = JSON.parse(nodeConfig(ports));
        config.routing = {
          rules: [{ ruleTag: "written", domain: ["full:balanced.example"], balancerTag: "b" }],
          balancers: [{ tag: "b", selector: ["direct"], strategy: { type: "roundRobin" } }],
        };
        await bridge.call("start", { config: JSON.stringify(config), users: [] });
        const before = (await bridge.call("rules")) as string[];
        const rule = { ruleTag: "added", domain: ["full:added.example"], outboundTag: "block" };
        await bridge.call("add_rule", { rule: JSON.stringify(rule) });
        expect(await bridge.call("rules")).toEqual([...before, "added"]);
        expect(await bridge.call("route", { domain: "added.example" })).toBe("block");
        expect(await bridge.call("balancer", { tag: "b" })).toEqual({ override: "", chooses: ["direct"] });
        await bridge.call("override_balancer", { tag: "b", target: "block" });
        expect(await bridge.call("balancer", { tag: "b" })).toMatchObject({ override: "block" });
        expect(await bridge.call("route", { domain: "balanced.example" })).toBe("block");
        await bridge.call("remove_rule", { tag: "added" });
        expect(await bridge.call("rules")).toEqual(before);
        expect(await bridge.call("route", { domain: "added.example" })).toBe("direct");
        await expect(bridge.call("add_rule", { rule: "{" })).rejects.toMatchObject({ code: 400 });
        await expect(bridge.call("balancer", { tag: "c" })).rejects.toMatchObject({ code: 404 });
      });

      test("is told what is wrong in the words that it knows", async () => {
        await start();
        const bad = bridge.call("start", { config: "{no json", users: [] });
        await expect(bad).rejects.toThrow(/config/);
        expect(await bridge.call("info")).toMatchObject({ started: true });
        const stranger = new Bridge(bridgePython, node, mode, crypto.randomUUID());
        await expect(stranger.call("start", { config: nodeConfig(ports), users: [] })).rejects.toMatchObject({
          code: 403,
        });
        await stranger.close();
      });
    });
  },
);

import { Code } from "@connectrpc/connect";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type ByteTarget, startByteTarget } from "../support/byte-target.ts";
import { engineOf } from "../support/child-processes.ts";
import type { NodeCaller } from "../support/node-caller.ts";
import { freePorts } from "../support/ports.ts";
import { nodeConfig, proxyProtocols, userOf } from "../support/proxy-protocols.ts";
import { admitted } from "../support/users-online.ts";
import { type CompatNode, failureOf, startNode } from "./harness.ts";

let node: CompatNode;
let target: ByteTarget;
let port: number;
const [vless] = proxyProtocols;
const user = userOf("42", "vless");
const over: [string, () => NodeCaller][] = [
  ["gRPC", () => node.grpc],
  ["REST", () => node.rest],
];
const guard = { outboundTag: "block", ruleTag: "PG_NODE_MALFORMED_DOMAIN_GUARD" };
const api = { outboundTag: "API", ruleTag: "" };

beforeAll(async () => {
  [node, target, [port = 0]] = await Promise.all([startNode(), startByteTarget(), freePorts(1)]);
});
beforeEach(() => node.grpc.start(backend()));
afterAll(() => Promise.all([node.close(), target.close()]));

function backend() {
  const config = JSON.parse(nodeConfig([port], proxyProtocols.slice(0, 1)));
  config.outbounds.push({ tag: "second", protocol: "freedom" });
  config.routing = {
    rules: [
      { ruleTag: "written", domain: ["full:written.example"], outboundTag: "second" },
      { domain: ["full:balanced.example"], balancerTag: "balancer" },
    ],
    balancers: [{ tag: "balancer", selector: ["direct", "second"], strategy: { type: "roundRobin" } }],
  };
  return { config: JSON.stringify(config), users: [user] };
}

const written = [
  api,
  guard,
  { outboundTag: "second", ruleTag: "written" },
  { outboundTag: "", ruleTag: "" }, // goes to the balancer
];
const rules = async (caller = node.grpc) =>
  (await caller.routingRules()).rules.map(({ outboundTag, ruleTag }) => ({ outboundTag, ruleTag }));
const routeTo = async (targetDomain: string, caller = node.grpc) =>
  (await caller.testRoute({ targetDomain, network: "tcp", targetPort: 443 })).outboundTag;
const ruleFor = (domain: string, more: object = { outboundTag: "block", ruleTag: "added" }) =>
  JSON.stringify({ domain: [`full:${domain}`], ...more });
const carries = async () => {
  if (vless === undefined) throw new Error("no protocol");
  return (await admitted([{ protocol: vless, port, user }], target))[0];
};

describe.each(over)("79. routing over %s", (_, caller) => {
  it("rules are listed in their order, the node's own among them", async () => {
    expect(await rules(caller())).toEqual(written);
  });

  it("a route is decided by the rules, or else is the default outbound", async () => {
    const request = {
      inboundTag: "vless",
      network: "TCP",
      targetDomain: "written.example",
      targetPort: 443,
      user: "42",
      protocol: "tls",
      attributes: { ":path": "/" },
    };
    expect(await caller().testRoute(request)).toMatchObject({
      outboundTag: "second",
      inboundTag: "vless",
      network: "tcp",
      targetDomain: "written.example",
      outboundGroupTags: [],
    });
    const elsewhere = { ...request, network: "udp", targetDomain: "elsewhere.example" };
    expect(await caller().testRoute(elsewhere)).toMatchObject({
      outboundTag: "direct",
      inboundTag: "vless",
      network: "udp",
      targetDomain: "elsewhere.example",
    });
    expect(await caller().testRoute({ ...request, network: "sctp" })).toMatchObject({ network: "unknown" });
    expect(await caller().testRoute({ ...request, fieldSelectors: ["outbound"] })).toMatchObject({
      outboundTag: "second",
      inboundTag: "",
      targetDomain: "",
    });
  });

  it("addresses of both families decide", async () => {
    await caller().addRule(JSON.stringify({ ip: ["geoip:private", "2001:db8::/32"], outboundTag: "block" }));
    const to = async (targetIp: string) => (await caller().testRoute({ targetIp })).outboundTag;
    expect(await Promise.all(["10.1.2.3", "2001:db8::1", "192.0.2.1", "::ffff:10.1.2.3"].map(to))).toEqual([
      "block",
      "block",
      "direct",
      "block",
    ]);
  });

  it("a rule is added behind all others, counts for users, and is removed", async () => {
    const engine = await engineOf(node.pid);
    expect(await carries()).toBe(true);
    await caller().addRule(JSON.stringify({ user: ["42"], outboundTag: "block", ruleTag: "added" }));
    expect(await rules(caller())).toEqual([...written, { outboundTag: "block", ruleTag: "added" }]);
    expect(await carries()).toBe(false);
    await caller().removeRule("added");
    expect(await rules(caller())).toEqual(written);
    expect(await carries()).toBe(true);
    await caller().removeRule("added"); // is not there any more, as asked
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("a rule of the config is removed", async () => {
    await caller().removeRule("written");
    expect(await rules(caller())).toEqual(written.filter(({ ruleTag }) => ruleTag !== "written"));
    expect(await routeTo("written.example", caller())).toBe("direct");
  });

  it("with should_reset a rule takes the place of all rules and balancers, but for the node's own", async () => {
    const engine = await engineOf(node.pid);
    await caller().addRule(ruleFor("added.example"), true);
    expect(await rules(caller())).toEqual([api, guard, { outboundTag: "block", ruleTag: "added" }]);
    expect(await routeTo("added.example", caller())).toBe("block");
    expect((await failureOf(caller().balancer("balancer"))).text.trim()).toBe('balancer "balancer" not found');
    // The node still reaches its engine, over a new connection too.
    await node.grpc.syncUser(userOf("43", "vless"));
    expect(await carries()).toBe(true);
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("a balancer chooses what it is told to", async () => {
    expect(await caller().balancer("balancer")).toMatchObject({
      overrideTarget: "",
      principleTarget: ["direct", "second"],
    });
    await caller().overrideBalancer("balancer", "block");
    expect((await caller().balancer("balancer")).overrideTarget).toBe("block");
    expect(await routeTo("balanced.example", caller())).toBe("block");
    await caller().overrideBalancer("balancer", "");
    expect((await caller().balancer("balancer")).overrideTarget).toBe("");
    expect(["direct", "second"]).toContain(await routeTo("balanced.example", caller()));
  });

  it.each<[string, (node: NodeCaller) => Promise<unknown>, Code, number, string | RegExp]>([
    ["no rule", (node) => node.addRule(""), Code.InvalidArgument, 400, "rule is required"],
    ["a rule that is no JSON", (node) => node.addRule("{"), Code.InvalidArgument, 400, /^rule is not valid JSON: /],
    ["a rule that is a list", (node) => node.addRule("[]"), Code.InvalidArgument, 400, /^rule must be an object/],
    [
      "a rule that leads nowhere",
      (node) => node.addRule('{"domain":["a"]}'),
      Code.InvalidArgument,
      400,
      /^rule: .*neither outboundTag nor balancerTag/,
    ],
    [
      "a rule without a condition",
      (node) => node.addRule('{"outboundTag":"block"}'),
      Code.InvalidArgument,
      400,
      "rule: app/router: this rule has no effective fields",
    ],
    [
      "an address that is none",
      (node) => node.addRule('{"outboundTag":"block","ip":["nonsense"]}'),
      Code.InvalidArgument,
      400,
      /^rule: .*invalid IP: nonsense/,
    ],
    [
      "an expression over which Xray ends itself",
      (node) => node.addRule('{"outboundTag":"block","attrs":{"a":"("}}'),
      Code.InvalidArgument,
      400,
      /^rule: .*error parsing regexp/,
    ],
    [
      "a rule that leads to the API",
      (node) => node.addRule('{"outboundTag":"API","inboundTag":["vless"]}'),
      Code.InvalidArgument,
      400,
      'rule.outboundTag "API" is the engine\'s own API',
    ],
    [
      "a rule that leads to an unknown balancer",
      (node) => node.addRule(ruleFor("a.example", { balancerTag: "nothing" })),
      Code.InvalidArgument,
      400,
      'rule.balancerTag: balancer "nothing" not found',
    ],
    [
      "a rule that leads to a balancer that the reset removes",
      (node) => node.addRule(ruleFor("a.example", { balancerTag: "balancer" }), true),
      Code.InvalidArgument,
      400,
      'rule.balancerTag: balancer "balancer" not found',
    ],
    [
      "a tag that is taken",
      (node) => node.addRule(ruleFor("a.example", { outboundTag: "block", ruleTag: "written" })),
      Code.AlreadyExists,
      409,
      'another rule has the tag "written"',
    ],
    ["no tag of a rule", (node) => node.removeRule(""), Code.InvalidArgument, 400, "rule_tag is required"],
    [
      "the removal of the node's own rule",
      (node) => node.removeRule(guard.ruleTag),
      Code.InvalidArgument,
      400,
      `the rule "${guard.ruleTag}" is the node's own`,
    ],
    ["no tag of a balancer", (node) => node.balancer(""), Code.InvalidArgument, 400, "tag is required"],
    ["an unknown balancer", (node) => node.balancer("b"), Code.NotFound, 404, 'balancer "b" not found'],
    [
      "an override of no balancer",
      (node) => node.overrideBalancer("", "direct"),
      Code.InvalidArgument,
      400,
      "balancer_tag is required",
    ],
    [
      "an override of an unknown balancer",
      (node) => node.overrideBalancer("b", "direct"),
      Code.NotFound,
      404,
      'balancer "b" not found',
    ],
    [
      "an override with an unknown outbound",
      (node) => node.overrideBalancer("balancer", "nothing"),
      Code.NotFound,
      404,
      'outbound "nothing" not found',
    ],
    [
      "an address that is none to test",
      (node) => node.testRoute({ targetIp: "10.0.0" }),
      Code.InvalidArgument,
      400,
      'target_ip "10.0.0" is not an IP address',
    ],
    [
      "a port that is none",
      (node) => node.testRoute({ targetPort: 65_536 }),
      Code.InvalidArgument,
      400,
      "target_port 65536 is beyond 65535",
    ],
  ])("%s is refused, and changes nothing", async (_what, call, grpcCode, httpStatus, sentence) => {
    const engine = await engineOf(node.pid);
    const { code, status, text } = await failureOf(call(caller()));
    expect({ code, status }).toEqual(code === undefined ? { status: httpStatus } : { code: grpcCode });
    expect(text.trim()).toEqual(typeof sentence === "string" ? sentence : expect.stringMatching(sentence));
    expect(await rules(caller())).toEqual(written);
    expect(await engineOf(node.pid)).toBe(engine);
  });
});

describe("what was changed", () => {
  it("holds when the engine dies and comes back", async () => {
    await node.grpc.addRule(ruleFor("added.example"));
    await node.grpc.removeRule("written");
    await node.grpc.overrideBalancer("balancer", "block");
    const changed = await rules();
    const engine = await engineOf(node.pid);
    process.kill(engine, "SIGKILL");
    await expect.poll(() => engineOf(node.pid).catch(() => engine), { timeout: 10_000 }).not.toBe(engine);
    await expect.poll(() => rules().catch(() => []), { timeout: 10_000 }).toEqual(changed);
    expect(await routeTo("added.example")).toBe("block");
    expect(await routeTo("written.example")).toBe("direct");
    expect(await routeTo("balanced.example")).toBe("block");
  });

  it("holds when a Start fails half way", async () => {
    await node.grpc.addRule(ruleFor("added.example"));
    await node.grpc.overrideBalancer("balancer", "block");
    const [changed, engine] = [await rules(), await engineOf(node.pid)];
    const { config, users } = backend();
    const other = JSON.parse(config);
    other.routing.rules.pop();
    // The target's port is taken, which Xray notices only when it has the new rules already.
    other.inbounds.push({ ...other.inbounds[0], tag: "taken", port: target.port });
    const failure = await failureOf(node.grpc.start({ config: JSON.stringify(other), users }));
    expect(failure.text).toContain("address already in use");
    expect(await rules()).toEqual(changed);
    expect(await routeTo("balanced.example")).toBe("block");
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("is undone by a Start, without a restart of the engine", async () => {
    const engine = await engineOf(node.pid);
    await node.grpc.addRule(ruleFor("added.example"), true);
    await node.grpc.start(backend());
    expect(await rules()).toEqual(written);
    await node.grpc.overrideBalancer("balancer", "block");
    await node.grpc.start(backend());
    expect((await node.grpc.balancer("balancer")).overrideTarget).toBe("");
    expect(await engineOf(node.pid)).toBe(engine);
  });

  it("is what counts for the next call, also of many at once", async () => {
    const tags = Array.from({ length: 5 }, (_, i) => `added-${i}`);
    await Promise.all(
      tags.map((ruleTag) => node.grpc.addRule(ruleFor(`${ruleTag}.example`, { outboundTag: "block", ruleTag }))),
    );
    const same = ruleFor("same.example", { outboundTag: "block", ruleTag: "same" });
    const [first, second] = await Promise.allSettled([node.grpc.addRule(same), node.rest.addRule(same)]);
    expect([first.status, second.status].sort()).toEqual(["fulfilled", "rejected"]);
    expect((await rules()).map(({ ruleTag }) => ruleTag).sort()).toEqual(
      ["", "", guard.ruleTag, "written", ...tags, "same"].sort(),
    );
  });
});

it("without a backend, calls about routing say so", async () => {
  await node.grpc.stop();
  expect(await failureOf(node.grpc.routingRules())).toMatchObject({ code: Code.Unavailable });
  expect(await failureOf(node.rest.addRule("{}"))).toEqual({ status: 500, text: "backend not initialized\n" });
});

import { describe, expect, test } from "vitest";
import { renderConfig } from "./render.ts";
import { RowUnreadable } from "./row-json.ts";
import type { LinkRow, NodeRows, ProtocolRow } from "./rows.ts";

const noPace = () => undefined;

const protocol = (id: number, kind: string, settings: object = {}): ProtocolRow => ({
  id,
  protocol: kind,
  tag: `${kind}-${id}`,
  listen: "",
  port: 1000 + id,
  enabled: true,
  settings: JSON.stringify(settings),
});
const node = (protocols: ProtocolRow[], more: Partial<NodeRows> = {}): NodeRows => ({
  nodeId: 1,
  disabled: false,
  drainingSince: null,
  protocolVersion: 1,
  protocols,
  outbounds: [],
  routing: "{}",
  extra: "{}",
  ...more,
});
const link = (n: number, kind: string, more: Partial<LinkRow> = {}): LinkRow => ({
  uuid: `0000000${n}-0000-4000-8000-000000000000`,
  protocol: kind,
  secret: "",
  publicKey: "",
  subscriptionId: n * 10,
  userId: n,
  access: undefined,
  expiresAt: null,
  quotaBytes: null,
  deviceLimit: null,
  failOpen: false,
  createdAt: 1_000,
  ...more,
});
const render = async (rows: NodeRows, links: LinkRow[]) =>
  JSON.parse((await renderConfig(rows, links, noPace)).content);

test("a config has users by e-mail, whose they are, and what is enforced for them", async () => {
  const vless = protocol(3, "vless", { settings: { flow: "xtls-rprx-vision" }, sniffing: { enabled: true } });
  const telegram = protocol(4, "mtproto", { modes: ["tls", "secure"], tlsDomains: ["example.org"] });
  const limited = { expiresAt: 5_000, quotaBytes: 10 ** 9, deviceLimit: 2 };
  const links = [link(2, "vless"), link(1, "mtproto", { secret: "AB".repeat(16), ...limited })];
  const { content } = await renderConfig(node([telegram, vless]), links, noPace);
  expect(content).toBe(
    '{"clientMap":{' +
      '"00000001-0000-4000-8000-000000000000":{"subscriptionId":10,"userId":1},' +
      '"00000002-0000-4000-8000-000000000000":{"subscriptionId":20,"userId":2}},' +
      '"mtprotoClientMap":{"00000001-0000-4000-8000-000000000000":{"subscriptionId":10,"userId":1}},' +
      '"services":{"mtproto":{"inbounds":[{"modes":["tls","secure"],"nodeProtocolId":4,"port":1004,' +
      '"tlsDomains":["example.org"],"users":[' +
      '{"linkUuid":"00000001-0000-4000-8000-000000000000","maxAddresses":2,"secret":"abababababababababababababababab"}]}]},' +
      '"xray":{"inbounds":[{"port":1003,"protocol":"vless","settings":{"clients":[' +
      '{"email":"3.00000002-0000-4000-8000-000000000000","flow":"xtls-rprx-vision",' +
      '"id":"00000002-0000-4000-8000-000000000000"}],"decryption":"none"},"sniffing":{"enabled":true},"tag":"vless-3"}],' +
      '"outbounds":[{"protocol":"freedom","tag":"direct"}]}},' +
      '"subscriptionTerms":{"10":{"expiresAtMs":5000,"leaseBytes":50000000,"maxAddresses":2}}}',
  );
});

test("agents of the documented routes get nothing that they do not know", async () => {
  const rows = node([protocol(1, "vmess")], { protocolVersion: 0 });
  expect(Object.keys(await render(rows, [link(1, "vmess", { expiresAt: 1 })]))).toEqual(["clientMap", "services"]);
});

describe("a WireGuard interface", () => {
  const settings = {
    privateKey: Buffer.alloc(32, 1).toString("base64"),
    addressPools: ["10.66.0.0/16", "fd66::/64"],
    dns: ["1.1.1.1"],
    allowedIps: ["0.0.0.0/0"],
    persistentKeepalive: 25,
  };
  const numbers = new Map([
    [10, 2],
    [20, 300],
  ]);
  const tunnel = { ...protocol(5, "wireguard", settings), tag: "wg0", numbers };
  const links = [link(2, "wireguard", { publicKey: "two=" }), link(1, "wireguard", { publicKey: "one=" })];

  test("has users by their addresses, and nothing of what only clients are told", async () => {
    const { content } = await renderConfig(node([tunnel], { protocolVersion: 2 }), links, noPace);
    expect(content).toBe(
      '{"clientMap":{' +
        '"00000001-0000-4000-8000-000000000000":{"subscriptionId":10,"userId":1},' +
        '"00000002-0000-4000-8000-000000000000":{"subscriptionId":20,"userId":2}},' +
        '"services":{"wireguard":{"inbounds":[{"addresses":["10.66.0.1/16","fd66::1/64"],"nodeProtocolId":5,"port":1005,' +
        '"privateKey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=","tag":"wg0","users":[' +
        '{"linkUuid":"00000001-0000-4000-8000-000000000000","peerIps":["10.66.0.2/32","fd66::2/128"],"publicKey":"one="},' +
        '{"linkUuid":"00000002-0000-4000-8000-000000000000","peerIps":["10.66.1.44/32","fd66::12c/128"],"publicKey":"two="}' +
        "]}]}}}",
    );
  });

  test("goes on without users, and leaves out who has no address", async () => {
    const rows = node([{ ...tunnel, numbers: new Map([[20, 2]]) }], { protocolVersion: 2 });
    const { clientMap, services } = await render(rows, links);
    expect(services.wireguard.inbounds[0].users).toMatchObject([
      { publicKey: "two=", peerIps: ["10.66.0.2/32", "fd66::2/128"] },
    ]);
    expect(Object.keys(clientMap)).toEqual([link(2, "").uuid]);
    expect((await render(rows, [])).services.wireguard.inbounds[0].users).toEqual([]);
  });

  test("is not told to agents that do not know it", async () => {
    const [without, withIt] = [node([protocol(1, "vless")]), node([protocol(1, "vless"), tunnel])];
    expect(await renderConfig(withIt, links, noPace)).toEqual(await renderConfig(without, links, noPace));
  });

  test("of which a key or a range cannot be read is refused by its name, without the key", async () => {
    for (const broken of [
      { ...settings, privateKey: "hunter2" },
      { ...settings, addressPools: ["10.0.0.0"] },
    ]) {
      const rows = node([{ ...tunnel, settings: JSON.stringify(broken) }], { protocolVersion: 2 });
      const refused = await renderConfig(rows, [], noPace).catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(RowUnreadable);
      expect(String(refused)).toContain("the WireGuard interface wg0");
      expect(String(refused)).not.toContain("hunter2");
    }
  });
});

test("a subscription with some protocols is on those alone, and on no node without them", async () => {
  const rows = node([protocol(1, "vless"), protocol(2, "vless")]);
  const { clientMap, services } = await render(rows, [
    link(1, "vless", { access: new Set([2]) }),
    link(2, "vless", { access: new Set([7]), expiresAt: 1 }),
  ]);
  const [first, second] = services.xray.inbounds;
  expect(first.settings.clients).toEqual([]);
  expect(second.settings.clients).toHaveLength(1);
  expect(Object.keys(clientMap)).toEqual([link(1, "").uuid]);
});

test("a disabled node runs nothing, a disabled protocol or outbound is left out", async () => {
  const rows = node([protocol(1, "vless"), { ...protocol(2, "trojan"), enabled: false }], {
    outbounds: [
      { id: 1, tag: "off", position: 0, enabled: false, config: '{"protocol":"blackhole"}' },
      { id: 2, tag: "on", position: 1, enabled: true, config: '{"protocol":"freedom"}' },
    ],
  });
  const { services } = await render(rows, []);
  expect(services.xray.inbounds.map(({ tag }: ProtocolRow) => tag)).toEqual(["vless-1"]);
  expect(services.xray.outbounds.map(({ tag }: ProtocolRow) => tag)).toEqual(["on"]);
  expect(await render({ ...rows, disabled: true }, [link(1, "vless")])).toEqual({ clientMap: {}, services: {} });
});

test("outbounds stand by position, and at the same one as operators see them: the older first", async () => {
  const at = (id: number, position: number, tag: string) => {
    return { id, tag, position, enabled: true, config: '{"protocol":"freedom"}' };
  };
  const outbounds = [at(3, 0, "a"), at(2, 1, "first"), at(1, 0, "direct")];
  const { services } = await render(node([protocol(1, "vless")], { outbounds }), []);
  expect(services.xray.outbounds.map(({ tag }: ProtocolRow) => tag)).toEqual(["direct", "a", "first"]);
});

test("what belongs to the agent, or has its own place, is not taken from the further sections", async () => {
  const extra = '{"api":{},"stats":{},"log":{},"inbounds":[],"dns":{"servers":[]}}';
  const { services } = await render(node([protocol(1, "vless", { tag: "mine", port: 1 })], { extra }), []);
  expect(services.xray.extra).toEqual({ dns: { servers: [] } });
  expect(services.xray.inbounds[0]).toMatchObject({ tag: "vless-1", port: 1001 });
});

test.each([
  ["null", "the inbound vless-1 is no JSON object"],
  ['{"settings":[]}', "settings of the inbound vless-1 is no JSON object"],
  ["{", "the inbound vless-1 is no JSON object"],
])("a protocol with the settings %s is refused by its name", async (settings, message) => {
  const rows = node([{ ...protocol(1, "vless"), settings }]);
  const refused = await renderConfig(rows, [], noPace).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(RowUnreadable);
  expect(String(refused)).toContain(message);
});

test("a node that drains lets in no subscription that was created since", async () => {
  const rows = { ...node([protocol(3, "vless")]), drainingSince: 2_000 };
  const links = [link(1, "vless"), link(2, "vless", { createdAt: 2_000 })];
  const { clientMap } = await render(rows, links);
  expect(Object.keys(clientMap)).toEqual([link(1, "vless").uuid]);
});

test("a lease that is not enforced while Core is away says so", async () => {
  const rows = node([protocol(3, "vless")]);
  const { subscriptionTerms } = await render(rows, [link(1, "vless", { quotaBytes: 100, failOpen: true })]);
  expect(Object.values(subscriptionTerms)).toEqual([{ failOpen: true, leaseBytes: 100 }]);
});

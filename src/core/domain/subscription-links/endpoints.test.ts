import fc from "fast-check";
import { expect, test } from "vitest";
import { endpointsOf, link, on, protocol, view } from "../../../../test/support/viewed-subscription.ts";
import { createEndpointReader } from "./endpoints.ts";
import { formats } from "./formats/formats.ts";

test("what is disabled is left out, and what has no link", () => {
  const endpoints = endpointsOf(
    [
      protocol(1),
      protocol(2, { enabled: false }),
      on({ disabled: true }, protocol(3)),
      protocol(4, { protocol: "trojan" }),
      protocol(5, { protocol: "vmess" }),
      protocol(6, { protocol: "mtproto" }),
    ],
    [link("vless"), link("trojan", { enabled: false })],
  );
  expect(endpoints.map(({ nodeProtocolId }) => nodeProtocolId)).toEqual([1]);
});

test("a node that drains comes last and marked, and not at all for who came since", () => {
  const protocols = [on({ drainingSince: 1_500 }, protocol(1)), on({ id: 2 }, protocol(3)), on({ id: 2 }, protocol(2))];
  const told = (createdAt: number) =>
    endpointsOf(protocols, undefined, createdAt).map(({ nodeProtocolId, draining }) => [nodeProtocolId, draining]);
  expect(told(1_000)).toEqual([
    [2, false],
    [3, false],
    [1, true],
  ]);
  expect(told(1_500)).toEqual([
    [2, false],
    [3, false],
  ]);
});

test("an endpoint is named by its remark, else by its node and tag", () => {
  const endpoints = endpointsOf([
    protocol(1, { remark: "Frankfurt" }),
    protocol(2),
    protocol(3, { remark: "Frankfurt" }),
  ]);
  expect(endpoints.map(({ name }) => name)).toEqual(["Frankfurt", "fra-1 in-2", "Frankfurt 2"]);
});

test.each(["", "[]", "{", '{"streamSettings":{"network":"pigeon"}}', '{"streamSettings":{"security":"xtls"}}'])(
  "settings that nobody could be told of, such as %j, cost no other endpoint",
  (settings) => {
    const odd = { ...protocol(1), settings };
    const known = settings === "" ? [1, 2] : [2];
    expect(endpointsOf([odd, protocol(2)]).map(({ nodeProtocolId }) => nodeProtocolId)).toEqual(known);
  },
);

test("a node that tells more than a host as its host costs no other endpoint, and adds none", () => {
  const odd = on({ host: "a.example\nvless://x@b.example:443#" }, protocol(1));
  expect(endpointsOf([odd, protocol(2)]).map(({ nodeProtocolId }) => nodeProtocolId)).toEqual([2]);
});

test("whatever settings there are, they stop no document", () => {
  const names = fc.constantFrom(
    ...["network", "security", "path", "host", "headers", "Host", "header", "type", "request", "extra", "serverName"],
    ...["alpn", "certificates", "certificate", "privateKey", "serverNames", "shortIds", "sni", "port", "method"],
    ...["password", "decryption", "flow", "modes", "tlsDomains", "udp", "settings", "serviceName", "hostHeader"],
  );
  const leaf = fc.oneof(
    fc.constantFrom("ws", "xhttp", "raw", "tls", "reality", "http", "salamander", "2022-blake3-aes-128-gcm", "\ud83d"),
    fc.constantFrom("A".repeat(43), `mlkem768x25519plus.native.600s.${"A".repeat(86)}`, "tls,secure", "/?ed=1"),
    fc.string({ unit: "binary" }),
    fc.jsonValue(),
  );
  const { object } = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 3 }, leaf, tie("object"), fc.array(tie("value"), { maxLength: 3 })),
    object: fc.dictionary(names, tie("value"), { maxKeys: 8 }),
  }));
  const settings = fc.record({
    settings: object,
    streamSettings: fc
      .tuple(object, fc.constantFrom("ws", "xhttp", "raw", "grpc", "kcp"), fc.constantFrom("tls", "reality", "none"))
      .chain(([rest, network, security]) =>
        fc.record({
          ...Object.fromEntries(
            [`${network}Settings`, "tlsSettings", "realitySettings", "finalmask"].map((n) => [n, object]),
          ),
          network: fc.constant(network),
          security: fc.constant(security),
          rest: fc.constant(rest),
        }),
      ),
  });
  const kind = fc.constantFrom("vless", "vmess", "trojan", "shadowsocks", "hysteria2", "mtproto");
  fc.assert(
    fc.property(kind, fc.oneof(settings, object), object, (one, given, linkSettings) => {
      const odd = protocol(1, { protocol: one, linkSettings: JSON.stringify(linkSettings) }, given as object);
      const endpoints = endpointsOf([odd, protocol(2)], [link(one), link("vless")]);
      expect(endpoints.at(-1)).toMatchObject({ nodeProtocolId: 2 });
      for (const write of Object.values(formats)) {
        const { leftOut } = write(endpoints);
        expect(leftOut.map(({ nodeProtocolId }) => nodeProtocolId)).not.toContain(2);
      }
    }),
    { numRuns: 500 },
  );
});

test("what was read before is read anew when it has changed, and after it was forgotten", () => {
  const { endpointsOf: read } = createEndpointReader({ capacity: 1 });
  const flow = (settings: object, host = "a.example") =>
    read(view([on({ host }, protocol(1, {}, settings)), protocol(2)])).map(({ access, ...rest }) => [
      rest.host,
      "flow" in access ? access.flow : "",
    ]);
  const second = ["fra.example.org", ""];
  expect(flow({})).toEqual([["a.example", ""], second]);
  expect(flow({ settings: { flow: "xtls-rprx-vision" } })).toEqual([["a.example", "xtls-rprx-vision"], second]);
  expect(flow({ settings: { flow: "xtls-rprx-vision" } }, "b.example")[0]).toEqual(["b.example", "xtls-rprx-vision"]);
});

import { describe, expect, test } from "vitest";
import type { Json, JsonObject } from "./json-object.ts";
import { listenerOf, usersWrittenIn } from "./listeners.ts";

const vless = (fields: JsonObject = {}) => listenerOf("in", { protocol: "vless", port: 443, ...fields });

describe("the ports of an inbound", () => {
  test.each<[Json, [number, number][]]>([
    [443, [[443, 443]]],
    ["443", [[443, 443]]],
    ["1000-2000", [[1000, 2000]]],
    [
      "443, 8443 ,1000-2000",
      [
        [443, 443],
        [8443, 8443],
        [1000, 2000],
      ],
    ],
  ])("%j", (port, ranges) => {
    expect(vless({ port }).tcp?.ports).toEqual(ranges.map(([from, to]) => ({ from, to })));
  });

  test.each<[Json]>([[0], [-1], [65_536], [1.5], [""], ["2000-1000"], ["env:PORT"], [null], [[443]]])(
    "%j is nowhere",
    (port) => expect(vless({ port }).tcp).toBeUndefined(),
  );
});

describe("the address of an inbound", () => {
  test.each(["0.0.0.0", "::", "[::]", "0:0:0:0:0:0:0:0", "", "localhost"])("%j is any", (listen) => {
    expect(vless({ listen }).tcp?.localAddress).toBeUndefined();
  });
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8::1", "2001:db8::1"],
    ["[2001:db8::1]", "2001:db8::1"],
  ])("%j is one", (listen, address) => expect(vless({ listen }).tcp?.localAddress).toBe(address));
  test("an inbound without one listens everywhere", () => expect(vless().tcp?.localAddress).toBeUndefined());
});

describe("an inbound whose peers are not its users", () => {
  test.each(["/run/xray.sock,0666", "@xray"])("listens on the unix socket %s", (listen) => {
    expect(vless({ listen })).toEqual({ tag: "in", tcp: undefined, udp: false, indirect: true });
  });
  test.each(["sockopt", "tcpSettings", "rawSettings", "wsSettings", "httpupgradeSettings", "TCPSETTINGS"])(
    "takes the PROXY protocol in %s",
    (name) => expect(vless({ streamSettings: { [name]: { acceptProxyProtocol: true } } }).indirect).toBe(true),
  );
  test("and one that does neither has them as peers", () => {
    expect(vless({ streamSettings: { tcpSettings: { acceptProxyProtocol: false } } }).indirect).toBe(false);
  });
});

describe("what an inbound takes", () => {
  const tlsSettings = { alpn: ["h3"] };
  test.each<[string, JsonObject, boolean, boolean]>([
    ["VLESS", {}, true, false],
    ["Hysteria", { protocol: "hysteria" }, false, true],
    ["mKCP", { streamSettings: { network: "mKCP" } }, false, true],
    ["XHTTP", { streamSettings: { network: "xhttp" } }, true, false],
    ["XHTTP over HTTP/3", { streamSettings: { network: "xhttp", tlsSettings } }, false, true],
    [
      "XHTTP over HTTP/2 and 3",
      { streamSettings: { network: "xhttp", tlsSettings: { alpn: ["h2", "h3"] } } },
      true,
      false,
    ],
    ["WebSocket with an odd ALPN", { streamSettings: { network: "ws", tlsSettings } }, true, false],
    ["Shadowsocks", { protocol: "shadowsocks" }, true, false],
    ["Shadowsocks over both", { protocol: "Shadowsocks", settings: { network: "tcp, UDP" } }, true, true],
    [
      "Shadowsocks over both, as a list",
      { protocol: "shadowsocks", settings: { network: ["tcp", "udp"] } },
      true,
      true,
    ],
    ["Shadowsocks over UDP", { protocol: "shadowsocks", settings: { network: "udp" } }, false, true],
  ])("%s", (_, fields, tcp, udp) => {
    const listener = vless(fields);
    expect([listener.tcp !== undefined, listener.udp]).toEqual([tcp, udp]);
  });
});

test("users stand in a config under three names", () => {
  const settings: JsonObject = {
    clients: [{ email: "a", id: "1" }, { id: "2" }],
    users: [{ email: "b" }],
    accounts: [{ user: "c", pass: "3" }, null, "d"],
  };
  expect(usersWrittenIn({ protocol: "any", settings })).toEqual(["a", "b", "c"]);
  expect(usersWrittenIn({ protocol: "any" })).toEqual([]);
});

import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { gunzipSync } from "node:zlib";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { NodeProtocolService } from "../../gen/garrison/core/v1/node_protocols_pb.ts";
import { NodeService } from "../../gen/garrison/core/v1/nodes_pb.ts";
import { SubscriptionFormat, SubscriptionLinkService } from "../../gen/garrison/core/v1/subscription_links_pb.ts";
import { SubscriptionService } from "../../gen/garrison/core/v1/subscriptions_pb.ts";
import { UserService } from "../../gen/garrison/core/v1/users_pb.ts";
import { VpnProtocol } from "../../gen/garrison/core/v1/vpn_protocol_pb.ts";
import { serveCore } from "./core-under-test.ts";
import { given } from "./fleet/scene.ts";
import { describeScene } from "./scene.ts";
import { type MadeSubscription, openSubscriptionScene } from "./subscription-scene.ts";

const subscriptions = SubscriptionService.method;
const browser = { "user-agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/142.0.0.0", accept: "text/html,*/*;q=0.8" };

describeScene("subscription links", openSubscriptionScene, (scene) => {
  const get = (path: string, headers: Record<string, string> = {}, method = "GET") =>
    fetch(scene.core.url + path, { method, headers: { "user-agent": "curl/8", accept: "*/*", ...headers } });
  const linksOf = async ({ path }: MadeSubscription) =>
    (await (await get(`${path}?format=plain`)).text()).split("\n").slice(0, -1);
  /** What an answer is but for what differs with each. */
  const shown = async (response: Response) => {
    const headers = Object.fromEntries(response.headers);
    expect(headers["x-request-id"]).toBeDefined();
    for (const name of ["date", "x-request-id", "connection", "keep-alive"]) delete headers[name];
    return { status: response.status, headers, text: await response.text() };
  };

  test.each([
    ["links", "text/plain; charset=utf-8", /^[A-Za-z0-9+/=]+$/],
    [
      "plain",
      "text/plain; charset=utf-8",
      /^vless:\/\/[^\n]+#fra-1[^\n]*\nvmess:.*\nss:.*\ntg:\/\/proxy\?.*\nwireguard:.*\n$/,
    ],
    ["wireguard", "application/x-wireguard-profile; charset=utf-8", /^\[Interface\]\nPrivateKey = [^\n]+\n/],
    ["clash", "application/yaml; charset=utf-8", /^mixed-port: 7890\n/],
    ["sing-box", "application/json; charset=utf-8", /^\{"log":/],
    ["xray", "application/json; charset=utf-8", /^\[\{/],
    ["page", "text/html; charset=utf-8", /^<!doctype html>.*<\/html>\n$/s],
  ])("are answered as %s where that is asked for, whoever asks", async (format, contentType, document) => {
    const made = await scene.subscribe();
    for (const headers of [undefined, browser, { "user-agent": "mihomo/1.19.13" }]) {
      const response = await get(`${made.path}?format=${format}`, headers);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe(contentType);
      expect(await response.text()).toMatch(document);
    }
  });

  test("are answered as the app that asks wants it, else as links", async () => {
    const { path } = await scene.subscribe();
    const typeFor = async (headers: Record<string, string>) => (await get(path, headers)).headers.get("content-type");
    expect(await typeFor({ "user-agent": "v2rayNG/1.10.7" })).toMatch(/^text\/plain/);
    expect(await typeFor({ "user-agent": "clash-verge/v2.4.2" })).toMatch(/^application\/yaml/);
    expect(await typeFor({ "user-agent": "SFA/1.12.9 (586; sing-box 1.12.9)" })).toMatch(/^application\/json/);
    expect(await typeFor(browser)).toMatch(/^text\/html/);
    expect(await typeFor({})).toMatch(/^text\/plain/);
    expect(await typeFor({ "user-agent": "" })).toMatch(/^text\/plain/);
  });

  test("a format that nobody knows is refused, with those that are known", async () => {
    const { path, token } = await scene.subscribe();
    const response = await get(`${path}?format=pdf`);
    const text = await response.text();
    expect(response.status).toBe(400);
    expect(text).toMatch(/pdf.*links, clash, sing-box, xray, page, plain, wireguard/);
    expect(text).not.toContain(token);
    expect((await get(`${path}?format=CLASH&unknown=1`)).status).toBe(200);
  });

  test("tell apps traffic, end, title and a name for a file", async () => {
    const expiresAt = timestampFromMs(Date.parse("2027-01-01T00:00:00.999Z"));
    const made = await scene.subscribe({ quotaBytes: 1n << 40n, expiresAt, name: "Home" });
    await scene.core.database.db
      .updateTable("subscription")
      .set({ bytes_up: 1_000n, bytes_down: 9_000_000_000_000_000_000n, period_bytes: 9_000_000_000_000_001_000n })
      .where("id", "=", Number(made.id))
      .execute();
    const { headers } = await get(made.path);
    expect(Object.fromEntries(headers)).toMatchObject({
      "subscription-userinfo": "upload=1000; download=9000000000000000000; total=1099511627776; expire=1798761600",
      "profile-update-interval": "12",
      "profile-title": "Home",
      "content-disposition": 'attachment; filename="Home"',
    });
  });

  test("tell the traffic of the period, as the quota is meant, and zeros where there is no bound", async () => {
    const made = await scene.subscribe({}, "somebody");
    await scene.core.database.db
      .updateTable("subscription")
      .set({ bytes_up: 5_000n, bytes_down: 6_000n, period_bytes: 700n })
      .where("id", "=", Number(made.id))
      .execute();
    const { headers } = await get(made.path);
    expect(headers.get("subscription-userinfo")).toBe("upload=0; download=700; total=0; expire=0");
    expect(headers.get("profile-title")).toBe("somebody");
  });

  test.each([
    ["Zoë 🚀", "base64:Wm/DqyDwn5qA", "attachment; filename=\"Zo_ __\"; filename*=UTF-8''Zo%C3%AB%20%F0%9F%9A%80"],
    ['a"b;\\c/d', 'a"b;\\c/d', 'attachment; filename="a_b;_c_d"'],
    ["base64:x", "base64:YmFzZTY0Ong=", 'attachment; filename="base64_x"'],
    ["(it's) ü", "base64:KGl0J3MpIMO8", "attachment; filename=\"(it's) _\"; filename*=UTF-8''%28it%27s%29%20%C3%BC"],
  ])("write the title %s so that headers carry it", async (name, title, disposition) => {
    const { headers } = await get((await scene.subscribe({ name })).path);
    expect(headers.get("profile-title")).toBe(title);
    expect(headers.get("content-disposition")).toBe(disposition);
  });

  test("are kept by nobody, framed nowhere and told to no one", async () => {
    const { path } = await scene.subscribe();
    for (const target of [path, `${path}?format=page`, `${path}x`]) {
      expect(Object.fromEntries((await get(target)).headers)).toMatchObject({
        "cache-control": "private, no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-robots-tag": "noindex, nofollow",
      });
    }
    const page = (await get(`${path}?format=page`)).headers;
    expect(page.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    expect(page.get("content-disposition")).toBeNull();
    const fromElsewhere = await get(path, { origin: "https://elsewhere.example.org" });
    expect(fromElsewhere.headers.get("access-control-allow-origin")).toBeNull();
  });

  test("a page is compressed for those who take that, and shows Core's public URL, whatever Host says", async () => {
    const { path, url } = await scene.subscribe();
    const headers = { ...browser, "accept-encoding": "gzip, br", ":authority": "evil.example.org" };
    const { body, ...answer } = await http2(scene.core.url, path, headers);
    expect(answer.headers).toMatchObject({ "content-encoding": "gzip", vary: "accept-encoding" });
    const page = gunzipSync(body).toString();
    expect(page).toContain(`<code class="link">${url}</code>`);
    expect(page).not.toContain("evil.example.org");
    expect((await http2(scene.core.url, path, browser)).body.toString()).toBe(page);
  });

  test("WireGuard has a config of each of its protocols, with keys and an address that nobody else has", async () => {
    const { call } = scene;
    const [made, other] = [await scene.subscribe(), await scene.subscribe()];
    const configOf = async ({ path }: MadeSubscription, query = "") => {
      const response = await get(`${path}?format=wireguard${query}`);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-disposition")).toBe('attachment; filename="fra-1-wg0.conf"');
      const lines = (await response.text()).split("\n").map((line) => line.split(" = "));
      return Object.fromEntries(lines.filter(([, value]) => value !== undefined));
    };
    const [own, ofOther] = [await configOf(made), await configOf(other)];
    const listed = await call(NodeProtocolService.method.listNodeProtocols, { protocol: VpnProtocol.WIREGUARD });
    const [tunnel] = listed.nodeProtocols;
    const key = expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/);
    expect(own).toEqual({
      PrivateKey: key,
      Address: expect.stringMatching(/^10\.66\.\d+\.\d+\/32, fd[0-9a-f:]+\/128$/),
      DNS: "1.1.1.1, 1.0.0.1, 2606:4700:4700::1111",
      PublicKey: tunnel?.wireguardPublicKey,
      PresharedKey: key,
      AllowedIPs: "0.0.0.0/0, ::/0",
      Endpoint: `fra-1.example.org:${tunnel?.port}`,
      PersistentKeepalive: "25",
    });
    expect(ofOther).toMatchObject({ PublicKey: own.PublicKey, PresharedKey: own.PresharedKey });
    for (const name of ["PrivateKey", "Address"]) expect(ofOther[name]).not.toBe(own[name]);
    expect(await configOf(made)).toEqual(own);
    await call(subscriptions.rotateSubscriptionLinks, { id: made.id, protocols: [VpnProtocol.WIREGUARD] });
    const rotated = await configOf(made);
    expect(rotated).toEqual({ ...own, PrivateKey: key });
    expect(rotated.PrivateKey).not.toBe(own.PrivateKey);

    const node = { name: "tunnels", host: "2001:db8::9" };
    const nodeId = given((await call(NodeService.method.createNode, node)).node).id;
    const settings = JSON.stringify({ addressPools: ["10.9.0.0/24"], dns: [], persistentKeepalive: 0 });
    const request = { nodeId, protocol: VpnProtocol.WIREGUARD, port: 443, remark: 'A\n"b" # 🚀', settings };
    const second = given((await call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol);
    const several = await get(`${made.path}?format=wireguard`);
    expect(several.status).toBe(400);
    expect(await several.text()).toContain(
      `there is a WireGuard config for each of ${tunnel?.id} (fra-1 wg0), ${second.id} (A "b" # 🚀): ` +
        `say which, as in ?format=wireguard&nodeProtocolId=${tunnel?.id}`,
    );
    expect(await configOf(made, `&nodeProtocolId=${tunnel?.id}`)).toEqual(rotated);
    const response = await get(`${made.path}?format=wireguard&nodeProtocolId=${second.id}`);
    expect(response.headers.get("content-disposition")).toBe('attachment; filename="A-b.conf"');
    expect(await response.text()).toMatch(
      /^\[Interface\]\nPrivateKey = .{44}\nAddress = 10\.9\.0\.\d+\/32\n\n\[Peer\]\nPublicKey = .{44}\nAllowedIPs = 0\.0\.0\.0\/0, ::\/0\nEndpoint = \[2001:db8::9\]:443\n$/,
    );
    const page = await (await get(`${made.path}?format=page`)).text();
    for (const { id } of [given(tunnel), second]) {
      expect(page).toContain(`href="?format=wireguard&amp;nodeProtocolId=${id}"`);
    }
    const onlySecond = await get(`${made.path}?format=plain&nodeProtocolId=${second.id}`);
    expect(await onlySecond.text()).toMatch(/^wireguard:[^\n]+\n$/);
    await call(NodeService.method.deleteNode, { id: nodeId });
    expect(await configOf(made)).toEqual(rotated);
  });

  test("who has no WireGuard config is told so", async () => {
    const without = await scene.subscribe({ protocols: [VpnProtocol.VLESS] });
    const made = await scene.subscribe();
    for (const target of [`${without.path}?format=wireguard`, `${made.path}?format=wireguard&nodeProtocolId=999999`]) {
      const response = await get(target);
      expect([response.status, await response.text()]).toEqual([
        404,
        expect.stringContaining("no such WireGuard config"),
      ]);
    }
    for (const id of ["x", "-", "1e99"]) {
      expect((await get(`${made.path}?format=wireguard&nodeProtocolId=${id}`)).status).toBe(400);
    }
    expect(await (await get(`${without.path}?format=page`)).text()).not.toContain("wireguard");
  });

  test("who comes when all addresses are given has everything but WireGuard, and has it when there are more", async () => {
    const { call } = scene;
    const node = { name: "small", host: "small.example.org" };
    const nodeId = given((await call(NodeService.method.createNode, node)).node).id;
    const request = { nodeId, protocol: VpnProtocol.VLESS, port: 443 };
    const vless = given((await call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol);
    const settings = JSON.stringify({ addressPools: ["10.9.0.0/16"] });
    const wireguard = { nodeId, protocol: VpnProtocol.WIREGUARD, port: 443, settings };
    const tunnel = given((await call(NodeProtocolService.method.createNodeProtocol, wireguard)).nodeProtocol);
    const pool = scene.core.database.db.updateTable("tunnel_pool").where("node_protocol_id", "=", Number(tunnel.id));
    const later = async <T>(ask: () => Promise<T> | T) => {
      scene.clock.now += 500; // configs are rendered a moment after a change
      return ask();
    };
    const protocolNow = async () =>
      (await call(NodeProtocolService.method.getNodeProtocol, { id: tunnel.id })).nodeProtocol;
    await expect.poll(async () => (await later(protocolNow))?.addressesGiven, { timeout: 5_000 }).toBeGreaterThan(0);
    await pool.set({ last_number: 2 }).execute();
    const nodeProtocolIds = [vless.id, tunnel.id];
    const made = await scene.subscribe({ nodeProtocolIds });
    expect(await linksOf(made)).toEqual([expect.stringMatching(/^vless:/)]);
    expect((await get(`${made.path}?format=wireguard`)).status).toBe(404);
    await expect.poll(() => later(scene.core.log), { timeout: 5_000 }).toContain("it needs larger addressPools");
    await pool.set({ last_number: 65_534 }).execute();
    await call(NodeProtocolService.method.updateNodeProtocol, { id: tunnel.id, remark: "Larger" });
    const hasBoth = [expect.stringMatching(/^vless:/), expect.stringMatching(/^wireguard:.*#Larger$/)];
    await expect.poll(() => later(() => linksOf(made)), { timeout: 5_000 }).toEqual(hasBoth);
    await call(NodeService.method.deleteNode, { id: nodeId });
  });

  test("HEAD tells the same as GET, without the document", async () => {
    const { path } = await scene.subscribe();
    for (const target of [path, `${path}?format=page`, `${path}x`]) {
      const identity = { "accept-encoding": "identity" };
      const head = await shown(await get(target, identity, "HEAD"));
      const { text, ...rest } = await shown(await get(target, identity));
      expect(text).not.toBe("");
      expect(head).toEqual({ ...rest, text: "" });
      expect(head.headers["content-length"]).toBe(`${Buffer.byteLength(text)}`);
    }
  });

  test("are the same over HTTP/2, Connect and gRPC", async () => {
    const { path, token } = await scene.subscribe();
    const response = await get(`${path}?format=clash`);
    const document = await response.text();
    const overHttp2 = await http2(scene.core.url, `${path}?format=clash`, {});
    expect(overHttp2.body.toString()).toBe(document);
    expect(overHttp2.headers["subscription-userinfo"]).toBe(response.headers.get("subscription-userinfo"));
    const baseUrl = scene.core.url;
    for (const transport of [
      createConnectTransport({ baseUrl, httpVersion: "1.1" }),
      createGrpcTransport({ baseUrl }),
    ]) {
      const client = createClient(SubscriptionLinkService, transport);
      let header = new Headers();
      const onHeader = (headers: Headers) => {
        header = headers;
      };
      const answer = await client.getSubscriptionDocument({ token, format: SubscriptionFormat.CLASH }, { onHeader });
      expect(answer).toMatchObject({
        document,
        format: SubscriptionFormat.CLASH,
        contentType: "application/yaml; charset=utf-8",
      });
      expect(header.get("subscription-userinfo")).toBe(response.headers.get("subscription-userinfo"));
      const wrong = client.getSubscriptionDocument({ token: "wrong" });
      await expect(wrong).rejects.toMatchObject({ code: Code.NotFound });
      const odd = client.getSubscriptionDocument({ token, format: 99 as SubscriptionFormat });
      const refused = await odd.catch(ConnectError.from);
      expect(refused).toMatchObject({ code: Code.InvalidArgument });
      expect((refused as ConnectError).metadata.get("cache-control")).toBe("private, no-store");
    }
  });

  test("who has none is answered alike: unknown, malformed, replaced, disabled, expired, deleted", async () => {
    const made = await Promise.all(Array.from({ length: 5 }, () => scene.subscribe()));
    const [replaced, disabled, ofDisabled, expired, deleted] = made as [MadeSubscription, ...MadeSubscription[]];
    for (const { path } of made) expect((await get(path)).status).toBe(200);
    await scene.call(subscriptions.rotateSubscriptionToken, { id: replaced.id });
    await scene.call(subscriptions.updateSubscription, { id: given(disabled).id, enabled: false });
    await scene.call(UserService.method.updateUser, { id: given(ofDisabled).userId, enabled: false });
    const expiresAt = timestampFromMs(scene.clock.now);
    await scene.call(subscriptions.updateSubscription, { id: given(expired).id, expiresAt });
    await scene.call(subscriptions.deleteSubscription, { id: given(deleted).id });
    const random = Buffer.alloc(24, 7).toString("base64url");
    const odd = ["x", random, "%00", "%F0%9F%9A%80", "'%20or%201=1", "x".repeat(8_000), "a%2Fb", ".."];
    const expected = await shown(await get("/sub/unknown"));
    expect(expected).toMatchObject({ status: 404, text: expect.stringMatching(/^this link leads to no subscription/) });
    for (const headers of [undefined, browser]) {
      for (const path of [...made.map((each) => each.path), ...odd.map((token) => `/sub/${token}`)]) {
        expect(await shown(await get(path.replace("/..", "/%2e%2e."), headers)), path).toEqual(expected);
      }
    }
    scene.clock.now += 3_600_000;
  });

  test("who is over quota still has a subscription, which says so", async () => {
    const made = await scene.subscribe({ quotaBytes: 100n });
    await scene.core.database.db
      .updateTable("subscription")
      .set({ bytes_up: 60n, bytes_down: 60n, period_bytes: 120n })
      .where("id", "=", Number(made.id))
      .execute();
    expect((await get(made.path)).headers.get("subscription-userinfo")).toBe(
      "upload=60; download=60; total=100; expire=0",
    );
    expect(await (await get(made.path, browser)).text()).toContain("The traffic of this period is used up.");
  });

  test("who tries tokens is slowed down, and others at the same address are not", async () => {
    const made = await scene.subscribe();
    let refused: Response | undefined;
    let tries = 0;
    while (refused?.status !== 429 && tries < 200) {
      refused = await get(`/sub/guess-${tries++}`);
      await refused.clone().text();
    }
    expect(tries).toBeGreaterThan(50);
    expect(refused?.status).toBe(429);
    expect(Number(refused?.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(refused?.headers.get("cache-control")).toBe("private, no-store");
    expect((await get(made.path)).status).toBe(200);
    scene.clock.now += Number(refused?.headers.get("retry-after")) * 1_000;
    expect((await get("/sub/guess")).status).toBe(404);
    scene.clock.now += 3_600_000;
  });

  test("a token is in no line of the log, no metric and no answer", async () => {
    const made = await scene.subscribe();
    const wrong = Buffer.alloc(24, 9).toString("base64url");
    const { path, token } = made;
    for (const target of [path, `/sub/${wrong}`, `${path}/more`, `${path}?format=pdf`, `${path}%`, `//sub/${token}`]) {
      for (const method of ["GET", "HEAD", "POST", "DELETE"]) {
        const response = await get(target, {}, method);
        const answer = JSON.stringify([await response.text(), ...response.headers]);
        expect(answer).not.toContain(token);
        expect(answer).not.toContain(wrong);
      }
    }
    const baseUrl = scene.core.url;
    const client = createClient(SubscriptionLinkService, createConnectTransport({ baseUrl, httpVersion: "2" }));
    await client.getSubscriptionDocument({ token });
    await client.getSubscriptionDocument({ token: wrong }).catch((cause) => {
      expect(ConnectError.from(cause).message).not.toContain(wrong);
    });
    const metrics = await (await get("/metrics", { authorization: `Bearer ${scene.key}` })).text();
    expect(metrics).toContain('method="GetSubscriptionDocument",protocol="rest",code="not_found"');
    const log = scene.core.log();
    expect(log).toContain("SubscriptionLinkService/GetSubscriptionDocument");
    for (const text of [metrics, log]) {
      expect(text).not.toContain(token);
      expect(text).not.toContain(wrong);
    }
  });

  test("hold what the subscription has now: no disabled node, protocol or link, no node that was not given to it", async () => {
    const { call } = scene;
    const made = await scene.subscribe();
    const before = (await linksOf(made)).length;
    const node = { name: "other", host: "2001:db8::7" };
    const nodeId = given((await call(NodeService.method.createNode, node)).node).id;
    const request = { nodeId, protocol: VpnProtocol.VLESS, port: 443, remark: "Other" };
    const protocol = given((await call(NodeProtocolService.method.createNodeProtocol, request)).nodeProtocol);
    const other = /^vless:\/\/[\w-]+@\[2001:db8::7\]:443\?.*#Other$/;
    expect((await linksOf(made)).at(-1)).toMatch(other);
    expect(await linksOf(made)).toHaveLength(before + 1);

    await call(NodeProtocolService.method.updateNodeProtocol, { id: protocol.id, enabled: false });
    expect(await linksOf(made)).toHaveLength(before);
    await call(NodeProtocolService.method.updateNodeProtocol, { id: protocol.id, enabled: true });
    await call(NodeService.method.updateNode, { id: nodeId, enabled: false });
    expect(await linksOf(made)).toHaveLength(before);
    await call(NodeService.method.updateNode, { id: nodeId, enabled: true });

    scene.clock.now += 1_000;
    await call(NodeService.method.updateNode, { id: nodeId, draining: true });
    expect((await linksOf(made)).at(-1)).toMatch(other);
    expect(await linksOf(await scene.subscribe())).toHaveLength(before);
    await call(NodeService.method.updateNode, { id: nodeId, draining: false });

    const chosen = await scene.subscribe({ nodeProtocolIds: [protocol.id] });
    expect(await linksOf(chosen)).toEqual([expect.stringMatching(other)]);
    const vless = { id: chosen.id, protocol: VpnProtocol.VLESS };
    await call(subscriptions.updateSubscriptionLink, { ...vless, enabled: false });
    expect(await linksOf(chosen)).toEqual([]);
    expect(await (await get(`${chosen.path}?format=page`)).text()).toContain("There are none at the moment.");
    await call(NodeService.method.deleteNode, { id: nodeId });
  });

  test("are the same at every replica: credentials and tokens at once, nodes within a second", async () => {
    const second = await serveCore(scene.shared, scene.clock);
    try {
      const made = await scene.subscribe();
      const at = (path: string) => fetch(`${second.url}${path}?format=plain`);
      expect((await (await at(made.path)).text()).split("\n")).toEqual([...(await linksOf(made)), ""]);
      await scene.call(subscriptions.rotateSubscriptionLinks, { id: made.id });
      expect((await (await at(made.path)).text()).split("\n")).toEqual([...(await linksOf(made)), ""]);
      const vless = { nodeId: scene.nodeId, protocol: VpnProtocol.VLESS, port: 443, remark: "Late" };
      const protocol = given((await scene.call(NodeProtocolService.method.createNodeProtocol, vless)).nodeProtocol);
      expect((await linksOf(made)).at(-1)).toMatch(/#Late$/);
      await expect.poll(async () => (await at(made.path)).text(), { timeout: 3_000 }).toMatch(/#Late\n$/);
      await scene.call(NodeProtocolService.method.deleteNodeProtocol, { id: protocol.id });
      expect((await linksOf(made)).at(-1)).not.toMatch(/#Late$/);

      const { token } = await scene.call(subscriptions.rotateSubscriptionToken, { id: made.id });
      expect((await at(made.path)).status).toBe(404);
      expect((await at(`/sub/${token}`)).status).toBe(200);
    } finally {
      await second.close();
    }
  });

  test("are described in OpenAPI as open to everybody", async () => {
    const document = await (await get("/openapi.json", { authorization: `Bearer ${scene.key}` })).json();
    const operation = (document as { paths: Record<string, { get: object }> }).paths["/sub/{token}"]?.get;
    expect(operation).toMatchObject({
      security: [],
      parameters: [
        { name: "token", in: "path" },
        { name: "format", in: "query" },
        { name: "nodeProtocolId", in: "query" },
      ],
      responses: { 200: { content: { "*/*": { schema: { type: "string" } } } } },
    });
  });
});

/** Asks over HTTP/2, without TLS. */
async function http2(url: string, path: string, headers: Record<string, string>) {
  const session = connect(url);
  try {
    const stream = session.request({ ":path": path, ...headers });
    const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
    return { headers: answer, body: Buffer.concat(await Array.fromAsync(stream)) };
  } finally {
    session.close();
  }
}

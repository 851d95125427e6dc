import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { gunzipSync } from "node:zlib";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { expect, test } from "vitest";
import { SubscriptionFormat, SubscriptionLinkService } from "../../../gen/garrison/core/v1/subscription_links_pb.ts";
import { describeScene } from "../scene.ts";
import { openSubscriptionScene } from "../subscription-scene.ts";
import { browser, shown } from "./answers.ts";

describeScene("documents behind subscription links", openSubscriptionScene, (scene) => {
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
      const response = await scene.get(`${made.path}?format=${format}`, headers);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toBe(contentType);
      expect(await response.text()).toMatch(document);
    }
  });

  test("are answered as the app that asks wants it, else as links", async () => {
    const { path } = await scene.subscribe();
    const typeFor = async (headers: Record<string, string>) =>
      (await scene.get(path, headers)).headers.get("content-type");
    expect(await typeFor({ "user-agent": "v2rayNG/1.10.7" })).toMatch(/^text\/plain/);
    expect(await typeFor({ "user-agent": "clash-verge/v2.4.2" })).toMatch(/^application\/yaml/);
    expect(await typeFor({ "user-agent": "SFA/1.12.9 (586; sing-box 1.12.9)" })).toMatch(/^application\/json/);
    expect(await typeFor(browser)).toMatch(/^text\/html/);
    expect(await typeFor({})).toMatch(/^text\/plain/);
    expect(await typeFor({ "user-agent": "" })).toMatch(/^text\/plain/);
  });

  test("a format that nobody knows is refused, with those that are known", async () => {
    const { path, token } = await scene.subscribe();
    const response = await scene.get(`${path}?format=pdf`);
    const text = await response.text();
    expect(response.status).toBe(400);
    expect(text).toMatch(/pdf.*links, clash, sing-box, xray, page, plain, wireguard/);
    expect(text).not.toContain(token);
    expect((await scene.get(`${path}?format=CLASH&unknown=1`)).status).toBe(200);
  });

  test("tell apps traffic, end, title and a name for a file", async () => {
    const expiresAt = timestampFromMs(Date.parse("2027-01-01T00:00:00.999Z"));
    const made = await scene.subscribe({ quotaBytes: 1n << 40n, expiresAt, name: "Home" });
    await scene.core.database.db
      .updateTable("subscription")
      .set({ bytes_up: 1_000n, bytes_down: 9_000_000_000_000_000_000n, period_bytes: 9_000_000_000_000_001_000n })
      .where("id", "=", Number(made.id))
      .execute();
    const { headers } = await scene.get(made.path);
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
    const { headers } = await scene.get(made.path);
    expect(headers.get("subscription-userinfo")).toBe("upload=0; download=700; total=0; expire=0");
    expect(headers.get("profile-title")).toBe("somebody");
  });

  test.each([
    ["Zoë 🚀", "base64:Wm/DqyDwn5qA", "attachment; filename=\"Zo_ __\"; filename*=UTF-8''Zo%C3%AB%20%F0%9F%9A%80"],
    ['a"b;\\c/d', 'a"b;\\c/d', 'attachment; filename="a_b;_c_d"'],
    ["base64:x", "base64:YmFzZTY0Ong=", 'attachment; filename="base64_x"'],
    ["(it's) ü", "base64:KGl0J3MpIMO8", "attachment; filename=\"(it's) _\"; filename*=UTF-8''%28it%27s%29%20%C3%BC"],
  ])("write the title %s so that headers carry it", async (name, title, disposition) => {
    const { headers } = await scene.get((await scene.subscribe({ name })).path);
    expect(headers.get("profile-title")).toBe(title);
    expect(headers.get("content-disposition")).toBe(disposition);
  });

  test("are kept by nobody, framed nowhere and told to no one", async () => {
    const { path } = await scene.subscribe();
    for (const target of [path, `${path}?format=page`, `${path}x`]) {
      expect(Object.fromEntries((await scene.get(target)).headers)).toMatchObject({
        "cache-control": "private, no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-robots-tag": "noindex, nofollow",
      });
    }
    const page = (await scene.get(`${path}?format=page`)).headers;
    expect(page.get("content-security-policy")).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$/,
    );
    expect(page.get("content-disposition")).toBeNull();
    const fromElsewhere = await scene.get(path, { origin: "https://elsewhere.example.org" });
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

  test("HEAD tells the same as GET, without the document", async () => {
    const { path } = await scene.subscribe();
    for (const target of [path, `${path}?format=page`, `${path}x`]) {
      const identity = { "accept-encoding": "identity" };
      const head = await shown(await scene.get(target, identity, "HEAD"));
      const { text, ...rest } = await shown(await scene.get(target, identity));
      expect(text).not.toBe("");
      expect(head).toEqual({ ...rest, text: "" });
      expect(head.headers["content-length"]).toBe(`${Buffer.byteLength(text)}`);
    }
  });

  test("are the same over HTTP/2, Connect and gRPC", async () => {
    const { path, token } = await scene.subscribe();
    const response = await scene.get(`${path}?format=clash`);
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

  test("are described in OpenAPI as open to everybody", async () => {
    const document = await (await scene.get("/openapi.json", { authorization: `Bearer ${scene.key}` })).json();
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

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, get, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createNodeClient } from "../../src/client/node-client.ts";
import { type RealNode, startRealNode } from "../callers/real-node.ts";
import { xrayConfig } from "../callers/xray-config.ts";
import { freePorts } from "../support/ports.ts";
import type { PageGlobals, PageResult, PageTask } from "./page.ts";

describe("a page of another origin, in a real browser", () => {
  let site: Server;
  let otherSite: Server;
  let node: RealNode;
  let browser: Browser;
  let proxyPort: number;

  beforeAll(async () => {
    const script = await bundle();
    [site, otherSite] = await Promise.all([serve(script), serve(script)]);
    node = await startRealNode({ GARRISON_CORS_ORIGINS: originOf(site) });
    const [vless = 0, proxy = 0] = await freePorts(2);
    proxyPort = proxy;
    const config = xrayConfig({ vless, proxy });
    const transport = createGrpcTransport({
      baseUrl: node.url,
      nodeOptions: { ca: await readFile(node.certificate) },
    });
    await createNodeClient({ transport, key: node.key }).start({ config });
    browser = await chromium.launch({
      executablePath: "/usr/bin/chromium",
      args: [
        `--ignore-certificate-errors-spki-list=${node.publicKeyPin}`,
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    });
  });
  afterAll(async () => {
    await browser?.close();
    await node?.close();
    site?.close();
    otherSite?.close();
  });

  const open = async (server: Server) => {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on("console", (message) => complaints.push(message.text()));
    await page.goto(originOf(server));
    return { page, complaints };
  };

  test.each(["connect", "grpc-web"] as const)("calls the node and follows its log over %s", async (protocol) => {
    const { page } = await open(site);
    const until = `/seen-by-${protocol}`;
    const result = callNode(page, { url: node.url, key: node.key, protocol, until });
    await page.waitForFunction("globalThis.following");
    // The engine logs each request that goes through it: this line did not exist when the page began to follow.
    await fetchThroughProxy(proxyPort, `${originOf(site)}${until}`);
    const { nodeVersion, started, line, error } = await result;
    expect(error).toBeUndefined();
    expect(started).toBe(true);
    expect(nodeVersion).toMatch(/^\d+\.\d+\.\d+/);
    expect(line).toContain(until);
    await page.close();
  });

  test.each(["connect", "grpc-web"] as const)("is told over %s that its key is wrong", async (protocol) => {
    const { page } = await open(site);
    const key = "00000000-0000-4000-8000-000000000000";
    const { error } = await callNode(page, { url: node.url, key, protocol, until: "" });
    expect(error).toMatch(/^\[unauthenticated\]/);
    await page.close();
  });

  test.each(["connect", "grpc-web"] as const)("cannot call over %s unless its origin is allowed", async (protocol) => {
    const { page, complaints } = await open(otherSite);
    const { error, nodeVersion } = await callNode(page, { url: node.url, key: node.key, protocol, until: "" });
    expect(error).toBeDefined();
    expect(nodeVersion).toBe("");
    expect(complaints.join("\n")).toMatch(/has been blocked by CORS policy/);
    await page.close();
  });
});

async function bundle(): Promise<string> {
  const entry = new URL("page.ts", import.meta.url).pathname;
  const { outputFiles } = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false });
  return outputFiles[0]?.text ?? "";
}

/** Serves a page with the script, on an origin of its own. */
async function serve(script: string): Promise<Server> {
  const server = createServer((request, response) => {
    const [type, body] =
      request.url === "/page.js"
        ? ["text/javascript", script]
        : ["text/html", '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>'];
    response.writeHead(200, { "content-type": type }).end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function callNode(page: Page, task: PageTask): Promise<PageResult> {
  await page.waitForFunction("globalThis.callNode");
  return page.evaluate((given) => (globalThis as unknown as PageGlobals).callNode(given), task);
}

/** Fetches a URL through the engine's HTTP proxy. */
async function fetchThroughProxy(port: number, url: string): Promise<void> {
  const [answer] = await once(get({ host: "127.0.0.1", port, path: url, agent: false }), "response");
  answer.resume();
  await once(answer, "end");
}

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { freePorts } from "../support/ports.ts";
import { type RestAnswer, restRequest } from "../support/rest-request.ts";
import { type CompatNode, startNode } from "./harness.ts";

/** A node with its maintenance API, and how that is called. */
export interface MaintainedNode extends CompatNode {
  /** Where the maintenance API is. */
  readonly maintenance: { readonly url: string; readonly ca: string; readonly key: string };
  /** A directory of the test's own. */
  readonly directory: string;
  /** A GET with the node's key, or these headers. */
  get(path: string, headers?: Record<string, string>): Promise<RestAnswer>;
  /** A POST of JSON, or of a text as it is, with the node's key or these headers. */
  post(path: string, body?: unknown, headers?: Record<string, string>): Promise<RestAnswer>;
}

/** Starts a node with a maintenance API; it ends with the test. */
export async function startMaintained(variables: Record<string, string> = {}): Promise<MaintainedNode> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-maintenance-"));
  const [port] = await freePorts(1);
  const node = await startNode({
    API_PORT: `${port}`,
    GARRISON_CACHE_DIR: join(directory, "cache"),
    XRAY_ASSETS_PATH: join(directory, "assets"),
    ...variables,
  });
  onTestFinished(async () => {
    await node.close();
    await rm(directory, { recursive: true });
  });
  const maintenance = { url: `https://127.0.0.1:${port}`, ca: node.ca, key: node.key };
  const key = { "x-api-key": node.key };
  return {
    ...node,
    maintenance,
    directory,
    get: (path, headers = key) => restRequest(maintenance, "GET", path, headers),
    post(path, body = undefined, headers = key) {
      const text = typeof body === "string" ? body : JSON.stringify(body);
      const bytes = body === undefined ? undefined : Buffer.from(text);
      return restRequest(maintenance, "POST", path, { "content-type": "application/json", ...headers }, bytes);
    },
  };
}

/** Status and body of an answer. */
export function told({ status, text }: RestAnswer): unknown {
  return { status, body: JSON.parse(text) };
}

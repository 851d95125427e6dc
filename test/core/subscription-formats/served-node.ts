import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { readConfig } from "../../../src/core/domain/content/config-message.ts";
import { makeLinkCredential } from "../../../src/core/domain/fleet/link-credentials.ts";
import { servedProtocols } from "../../../src/core/domain/fleet/protocols/settings.ts";
import { renderConfig } from "../../../src/core/domain/render/render.ts";
import { createEndpointReader } from "../../../src/core/domain/subscription-links/endpoints.ts";
import type { SubscriptionView } from "../../../src/core/domain/subscription-links/subscription-view.ts";
import { type ByteTarget, startByteTarget } from "../../support/byte-target.ts";
import { startDatagramTarget } from "../../support/datagram-target.ts";
import { freePorts } from "../../support/ports.ts";
import { answers } from "../../support/proxy-client.ts";
import { view as viewOf } from "../../support/viewed-subscription.ts";
import { xrayPath } from "../../xray-path.ts";
import { createServedInbounds, type ServedInbound } from "./served-inbounds.ts";

/** A node's Xray on 127.0.0.1, and a subscription to all that it serves. */
export interface ServedNode {
  readonly inbounds: readonly ServedInbound[];
  readonly view: SubscriptionView;
  readonly endpoints: ReturnType<ReturnType<typeof createEndpointReader>["endpointsOf"]>;
  /**
   * Reached through the node alone: nobody has its address, and the node leads all that is asked of it there. Its port
   * takes datagrams as well.
   */
  readonly target: ByteTarget;
  close(): Promise<void>;
}

/** Starts it by the config that Core renders from the rows that the subscription is written from as well. */
export async function startServedNode(): Promise<ServedNode> {
  const [{ inbounds, close: closeInbounds }, target] = await Promise.all([createServedInbounds(), startByteTarget()]);
  const datagrams = await startDatagramTarget(target.port);
  const ports = await freePorts(inbounds.length);
  const rows = inbounds.map(({ name, protocol, settings, linkSettings }, index) => ({
    id: index + 1,
    protocol,
    tag: `in-${index + 1}`,
    remark: name,
    listen: "127.0.0.1",
    port: ports[index] ?? 0,
    enabled: true,
    settings: JSON.stringify(settings),
    linkSettings: JSON.stringify(linkSettings ?? {}),
  }));
  const links = servedProtocols.map((protocol) => ({
    protocol,
    enabled: true,
    ...makeLinkCredential(protocol, randomBytes),
  }));
  const node = { id: 1, name: "here", host: "127.0.0.1", disabled: false, drainingSince: null };
  const protocols = rows.map((row) => ({ ...row, node }));
  const view: SubscriptionView = { ...viewOf(protocols, links, 0), title: "all" };
  const outbound = {
    protocol: "freedom",
    settings: { redirect: `127.0.0.1:${target.port}`, finalRules: [{ action: "allow" }] },
  };
  const { content } = await renderConfig(
    {
      nodeId: 1,
      disabled: false,
      drainingSince: null,
      protocolVersion: 1,
      protocols: rows,
      outbounds: [{ id: 1, tag: "to the target", position: 0, enabled: true, config: JSON.stringify(outbound) }],
      routing: "{}",
      extra: "{}",
    },
    links.map((link) => ({
      ...link,
      subscriptionId: 1,
      userId: 1,
      access: undefined,
      expiresAt: null,
      quotaBytes: null,
      deviceLimit: null,
      failOpen: false,
      createdAt: 0,
    })),
    () => undefined,
  );
  const { services } = await readConfig(content, () => undefined);
  const { inbounds: served = "", outbounds = "" } = services?.xray ?? {};
  const overTcp = rows.filter(({ settings }) => !overUdp.test(settings)).map(({ port }) => port);
  const xray = await startXray(`{"log":{"loglevel":"warning"},"inbounds":${served},"outbounds":${outbounds}}`, overTcp);
  return {
    inbounds,
    view,
    endpoints: createEndpointReader().endpointsOf(view),
    target: { ...target, address: "203.0.113.7" },
    async close() {
      await xray.close();
      await Promise.all([target.close(), datagrams.close(), closeInbounds()]);
    },
  };
}

const overUdp = /"network":"(hysteria|mkcp)"|"h3"/;

/** Starts Xray; resolves when it listens on these ports. */
async function startXray(config: string, ports: readonly number[]): Promise<{ close(): Promise<void> }> {
  const child = spawn(await xrayPath(), ["run", "-c", "stdin:"], { stdio: ["pipe", "pipe", "pipe"] });
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => output.push(chunk));
  const ended = once(child, "close");
  child.stdin.end(config);
  for (const port of ports) {
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`Xray ended before it listened:\n${Buffer.concat(output)}`);
      await sleep(20);
    }
  }
  return {
    async close() {
      child.kill("SIGTERM");
      await ended;
    },
  };
}

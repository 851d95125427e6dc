import { createHash } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readConfig } from "../../src/core/domain/content/config-message.ts";
import { ContentParts } from "../../src/core/domain/content/content-parts.ts";
import { difference } from "../../src/core/domain/content/difference.ts";
import { renderConfig } from "../../src/core/domain/render/render.ts";
import { afterOperations, agentDigest, contentOf } from "./agent-config.ts";
import { arbitraryLinks, arbitraryNode } from "./arbitrary-rows.ts";

const noPace = () => undefined;
const differenceOf = (from: string, to: string) => difference(new ContentParts(from), new ContentParts(to), noPace);

describe("whatever the rows are", () => {
  test("their order makes no difference to a byte", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryNode, arbitraryLinks, fc.infiniteStream(fc.nat()), async (node, links, chance) => {
        const shuffled = <T>(rows: readonly T[]): T[] =>
          rows
            .map((row) => ({ row, at: chance.next().value }))
            .sort((a, b) => a.at - b.at)
            .map(({ row }) => row);
        const other = { ...node, protocols: shuffled(node.protocols), outbounds: shuffled(node.outbounds) };
        const rendered = await renderConfig(node, links, noPace);
        expect(await renderConfig(other, shuffled(links), noPace)).toEqual(rendered);
        expect(rendered.digest).toBe(createHash("sha256").update(rendered.content).digest("hex"));
      }),
    );
  });

  test("an agent computes the digest of what it gets, be it a message or JSON", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryNode, arbitraryLinks, async (node, links) => {
        const { content, digest } = await renderConfig(node, links, noPace);
        const message = await readConfig(content, noPace);
        expect(contentOf(message)).toBe(content);
        expect(agentDigest(message)).toBe(digest);
      }),
    );
  });

  test("a delta leads from one config to the other, and to its digest", async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryNode,
        arbitraryLinks,
        arbitraryNode,
        arbitraryLinks,
        async (nodeA, linksA, nodeB, linksB) => {
          const a = await renderConfig(nodeA, linksA, noPace);
          const b = await renderConfig(nodeB, linksB, noPace);
          const operations = await differenceOf(a.content, b.content);
          const arrived = afterOperations(await readConfig(a.content, noPace), operations);
          expect(contentOf(arrived)).toBe(b.content);
          expect(agentDigest(arrived)).toBe(b.digest);
          expect(operations.length === 0).toBe(a.digest === b.digest);
        },
      ),
      { numRuns: 300 },
    );
  });

  test("a user who comes or goes is a step for each inbound, one for the link, and one for the terms", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryNode, arbitraryLinks, async (node, links) => {
        const [first] = links;
        const fewer = links.filter(({ subscriptionId }) => subscriptionId !== first?.subscriptionId);
        const a = await renderConfig(node, fewer, noPace);
        const b = await renderConfig(node, links, noPace);
        const kinds = new Set((await differenceOf(a.content, b.content)).map(({ operation }) => operation.case));
        for (const kind of [
          "putXrayClient",
          "putWireguardPeer",
          "putLink",
          "putSubscriptionTerms",
          "replaceMtproto",
        ] as const) {
          kinds.delete(kind);
        }
        // Shadowsocks is not served without users.
        kinds.delete("putXrayInbound");
        kinds.delete("replaceXray");
        expect([...kinds]).toEqual([]);
      }),
    );
  });
});

import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type ConfigDelta,
  ConfigDeltaSchema,
  type ConfigOperation,
  ConfigOperationSchema,
  XrayClientKeySchema,
} from "../../gen/garrison/core/v1/node_config_pb.ts";
import { ContentParts } from "../../src/core/domain/content/content-parts.ts";
import { difference } from "../../src/core/domain/content/difference.ts";
import { renderConfig } from "../../src/core/domain/render/render.ts";
import { digestOf } from "../../src/node/agent/config/config-content.ts";
import { afterDelta } from "../../src/node/agent/config/config-delta.ts";
import { contentOf } from "../core/agent-config.ts";
import { arbitraryLinks, arbitraryNode } from "../core/arbitrary-rows.ts";

const noPace = () => undefined;

function deltaOf(operations: readonly ConfigOperation[], digest: string): ConfigDelta {
  return create(ConfigDeltaSchema, { revision: 2n, digest, operations: [...operations] });
}

test("whatever Core changes in a config, its delta leads the agent there", async () => {
  await fc.assert(
    fc.asyncProperty(
      arbitraryNode,
      arbitraryLinks,
      arbitraryNode,
      arbitraryLinks,
      async (nodeA, linksA, nodeB, linksB) => {
        const [a, b] = [await renderConfig(nodeA, linksA, noPace), await renderConfig(nodeB, linksB, noPace)];
        const operations = await difference(new ContentParts(a.content), new ContentParts(b.content), noPace);
        const read = afterDelta(a.content, deltaOf(operations, b.digest));
        expect(read?.content).toBe(b.content);
        expect(read?.config).toMatchObject({ revision: 2n, digest: b.digest });
        if (read !== undefined) expect(contentOf(read.config)).toBe(b.content);
      },
    ),
    { numRuns: 300 },
  );
});

test("a delta that leads elsewhere, or has a step that cannot be taken, leads nowhere", () => {
  const content = '{"clientMap":{},"services":{"xray":{"inbounds":[],"outbounds":[]}}}';
  const after = (operation: ConfigOperation["operation"], digest = digestOf(content)) =>
    afterDelta(content, deltaOf([create(ConfigOperationSchema, { operation })], digest));
  expect(after({ case: "removeLink", value: "nobody" })?.content).toBe(content);
  expect(after({ case: "removeLink", value: "nobody" }, digestOf("other"))).toBeUndefined();
  expect(after({ case: undefined })).toBeUndefined();
  const key = create(XrayClientKeySchema, { inboundTag: "in", email: "7.x" });
  expect(after({ case: "removeXrayClient", value: key })).toBeUndefined();
  expect(after({ case: "putXrayInbound", value: "{" })).toBeUndefined();
});

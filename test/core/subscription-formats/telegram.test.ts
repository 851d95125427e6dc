import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { createEndpointReader } from "../../../src/core/domain/subscription-links/endpoints.ts";
import { formats } from "../../../src/core/domain/subscription-links/formats/formats.ts";

test.each<[string, object]>([
  ["secure", { modes: ["secure"] }],
  ["tls", { modes: ["tls"], tlsDomains: ["front.example.com"] }],
])("the link for Telegram is the one that telemt itself gives in the mode %s", async (_mode, settings) => {
  const recorded = await readFile(
    new URL("../../support/telemt-stand-in/recorded-answers.json", import.meta.url),
    "utf8",
  );
  const endpoints = createEndpointReader().endpointsOf({
    title: "",
    state: "active",
    createdAt: 0,
    bytesUp: 0n,
    bytesDown: 0n,
    periodBytes: 0n,
    quotaBytes: null,
    expiresAt: null,
    links: [{ protocol: "mtproto", uuid: "u", secret: "00112233445566778899aabbccddeeff", enabled: true }],
    tunnelNumbers: new Map(),
    protocols: [
      {
        id: 1,
        protocol: "mtproto",
        tag: "mtproto-1",
        remark: "",
        port: 443,
        enabled: true,
        settings: JSON.stringify(settings),
        linkSettings: "",
        node: { id: 1, name: "n", host: "proxy.example.com", disabled: false, drainingSince: null },
      },
    ],
  });
  const [link, ...others] = formats.plain(endpoints).body.split("\n").slice(0, -1);
  expect(others).toEqual([]);
  expect(recorded).toContain(`"${link}"`);
});

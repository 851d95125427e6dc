import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import { formats } from "../../../src/core/domain/subscription-links/formats/formats.ts";
import { endpointsOf, link, on, protocol } from "../../support/viewed-subscription.ts";

test.each<[string, object]>([
  ["secure", { modes: ["secure"] }],
  ["tls", { modes: ["tls"], tlsDomains: ["front.example.com"] }],
])("the link for Telegram is the one that telemt itself gives in the mode %s", async (_mode, settings) => {
  const recorded = await readFile(
    new URL("../../support/telemt-stand-in/recorded-answers.json", import.meta.url),
    "utf8",
  );
  const endpoints = endpointsOf(
    [on({ host: "proxy.example.com" }, protocol(1, { protocol: "mtproto", port: 443 }, settings))],
    [link("mtproto", { secret: "00112233445566778899aabbccddeeff" })],
  );
  const [told, ...others] = formats.plain(endpoints).body.split("\n").slice(0, -1);
  expect(others).toEqual([]);
  expect(recorded).toContain(`"${told}"`);
});

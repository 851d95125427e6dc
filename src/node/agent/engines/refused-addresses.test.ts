import { expect, test } from "vitest";
import { refusingTag, withRefusedAddresses } from "./refused-addresses.ts";

const config = { log: {}, outbounds: [{ tag: "direct" }], routing: { domainStrategy: "AsIs", rules: [{ port: 53 }] } };
const users = ["c", "b", "a"].map((email) => ({ email }));
const refusing = (of: object, refused: Record<string, readonly string[]>) =>
  JSON.parse(withRefusedAddresses(JSON.stringify(of), users, (name) => refused[name]));

test("rules that refuse come before all others, one for all who are refused from the same addresses", () => {
  expect(refusing(config, { c: ["192.0.2.1", "::1"], a: ["192.0.2.1", "::1"], b: ["192.0.2.2"] })).toEqual({
    log: {},
    outbounds: [{ tag: "direct" }, { tag: refusingTag, protocol: "blackhole" }],
    routing: {
      domainStrategy: "AsIs",
      rules: [
        { type: "field", user: ["a", "c"], source: ["192.0.2.1", "::1"], outboundTag: refusingTag },
        { type: "field", user: ["b"], source: ["192.0.2.2"], outboundTag: refusingTag },
        { port: 53 },
      ],
    },
  });
});

test("a config without rules gets some, and one without anybody to refuse stays to the letter", () => {
  expect(refusing({}, { a: ["192.0.2.1"] }).routing.rules).toHaveLength(1);
  const text = ' {"outbounds": []}';
  expect(withRefusedAddresses(text, users, () => [])).toBe(text);
});

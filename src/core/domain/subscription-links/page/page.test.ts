import { expect, test } from "vitest";
import { renderPage } from "./page.ts";

const view = { title: "Zoë", state: "active", periodBytes: 5n, quotaBytes: null, expiresAt: null } as const;
const content = { view, url: "https://core.example.org/sub/token", connections: [], now: 0 };
const noPace = () => undefined;
const count = (page: string, part: string) => page.split(part).length - 1;

test("a page of many connections lets others have a turn, and has codes of the first hundred", async () => {
  let turns = 0;
  const connections = Array.from({ length: 120 }, (_, n) => ({ name: `n${n}`, protocol: "ss", link: `ss://${n}` }));
  const page = await renderPage({ ...content, connections }, async () => {
    turns += 1;
  });
  expect(turns).toBe(120);
  expect(count(page, "<details>")).toBe(120);
  expect(count(page, 'class="link"')).toBe(121);
  expect(count(page, "<svg")).toBe(101);
});

test.each([
  ["no bounds", {}, ["5 bytes", "no limit", "never"], ""],
  [
    "more than the quota",
    { quotaBytes: 4n, state: "over_quota" },
    ["5 bytes of 4 bytes", "0 bytes", "never"],
    'value="1.0000"',
  ],
  [
    "a quota of nothing",
    { quotaBytes: 0n, state: "over_quota", periodBytes: 0n },
    ["0 bytes of 0 bytes", "0 bytes", "never"],
    "value=",
  ],
  [
    "the largest quota",
    { quotaBytes: 2n ** 63n - 1n, periodBytes: 2n ** 62n },
    ["4096 PiB of 8192 PiB", "4096 PiB", "never"],
    "0.5000",
  ],
] as const)("traffic and end with %s", async (_, more, expected, bar) => {
  const page = await renderPage({ ...content, view: { ...view, ...more } }, noPace);
  expect(Array.from(page.matchAll(/<dd>(.*?)<\/dd>/g), ([, text]) => text)).toEqual(expected);
  expect(page.includes("<progress")).toBe(bar !== "");
  expect(page).toContain(bar);
});

test("a config has its code, is shown line by line, and is had as a file", async () => {
  const config = "[Interface]\nPrivateKey = k<\n";
  const connections = [{ name: "t", protocol: "wireguard", config, file: 'a"b.conf', nodeProtocolId: 7 }];
  const page = await renderPage({ ...content, connections }, noPace);
  expect(count(page, "<svg")).toBe(2);
  expect(page).toContain('<pre class="link">[Interface]\nPrivateKey = k&lt;\n</pre>');
  expect(page).toContain('href="?format=wireguard&amp;nodeProtocolId=7" download="a&quot;b.conf">');
  const before = Array.from({ length: 100 }, () => ({ name: "n", protocol: "ss", link: "ss://n" }));
  const late = await renderPage({ ...content, connections: [...before, ...connections] }, noPace);
  expect(count(late, "<svg")).toBe(101);
});

test("a link that no code holds is shown without one", async () => {
  const connections = [{ name: "long", protocol: "vless", link: `vless://${"x".repeat(3_000)}` }];
  const page = await renderPage({ ...content, connections }, noPace);
  expect(count(page, "<svg")).toBe(1);
  expect(count(page, 'class="link"')).toBe(2);
});

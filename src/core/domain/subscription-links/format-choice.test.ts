import { expect, test } from "vitest";
import { chooseFormat } from "./format-choice.ts";

const chrome =
  "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Mobile Safari/537.36";
const html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

test.each([
  ["links", "v2rayNG/1.10.7"],
  ["links", "v2rayN/7.12.5"],
  ["links", "v2raytun/android"],
  ["links", "HiddifyNext/2.5.7 (android) like ClashMeta v2ray sing-box"],
  ["links", "Streisand/1.6.52 CFNetwork/1568 Darwin/24.0.0"],
  ["links", "Shadowrocket/2701 CFNetwork/3826 Darwin/24.6.0"],
  ["links", "Happ/3.2.1"],
  ["links", "NekoRay/3.26"],
  ["clash", "NekoBox/Android/1.3.8 (Prefer ClashMeta Format)"],
  ["clash", "clash-verge/v2.4.2"],
  ["clash", "ClashMetaForAndroid/2.11.16.Meta"],
  ["clash", "ClashX Pro/1.118.0"],
  ["clash", "mihomo/1.19.13"],
  ["clash", "clash.meta/v1.19.13"],
  ["clash", "FlClash/v0.8.90 clash-verge Platform/android"],
  ["clash", "Stash/3.1.0 Clash/1.11.0"],
  ["clash", "mihomo.party/v1.8.4 (clash.meta)"],
  ["clash", "prizrak-box/1.4.0"],
  ["clash", "Flowvy/1.2.0"],
  ["sing-box", "SFA/1.12.9 (586; sing-box 1.12.9; language zh_Hans_CN)"],
  ["sing-box", "SFI/1.11.4 (3; sing-box 1.11.4; language en)"],
  ["sing-box", "sing-box 1.12.9"],
  ["sing-box", "Karing/1.2.4.1001"],
  ["sing-box", "GUI.for.SingBox/v1.9.9"],
  ["links", "FoXray/1.5 CFNetwork/1568 Darwin/24.0.0"],
  ["links", "curl/8.14.1"],
  ["links", ""],
] as const)("%s for %s", (format, userAgent) => {
  expect(chooseFormat({ userAgent, accept: "*/*" })).toBe(format);
});

test("a page for browsers, and for no app, whatever it accepts", () => {
  expect(chooseFormat({ userAgent: chrome, accept: html })).toBe("page");
  expect(chooseFormat({ userAgent: "", accept: "TEXT/HTML" })).toBe("page");
  expect(chooseFormat({ userAgent: chrome, accept: "*/*" })).toBe("links");
  expect(chooseFormat({ userAgent: "clash-verge/v2.4.2", accept: html })).toBe("clash");
});

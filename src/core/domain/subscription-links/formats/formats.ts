import type { WriteDocument } from "../document.ts";
import { writeClash } from "./clash/clash.ts";
import { writeEncodedLinks, writeLinks } from "./links/links.ts";
import { writeSingBox } from "./sing-box/sing-box.ts";
import { writeXray } from "./xray/xray.ts";

/** The name of what a subscription is written as. */
export type FormatName = "links" | "plain" | "clash" | "sing-box" | "xray";

/** What subscriptions are written as, by name: `links` in base64, and `plain` not. */
export const formats: Readonly<Record<FormatName, WriteDocument>> = {
  links: writeEncodedLinks,
  plain: writeLinks,
  clash: writeClash,
  "sing-box": writeSingBox,
  xray: writeXray,
};

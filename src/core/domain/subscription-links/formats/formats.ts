import type { WriteDocument } from "../document.ts";
import { writeClash } from "./clash/clash.ts";
import { writeEncodedLinks, writeLinks } from "./links/links.ts";
import { writeSingBox } from "./sing-box/sing-box.ts";
import { writeXray } from "./xray/xray.ts";

/** The names of what subscriptions are written as. */
export const formatNames = ["links", "plain", "clash", "sing-box", "xray"] as const;
/** One of {@link formatNames}. */
export type FormatName = (typeof formatNames)[number];

/** What subscriptions are written as, by name: `links` in base64, and `plain` not. */
export const formats: Readonly<Record<FormatName, WriteDocument>> = {
  links: writeEncodedLinks,
  plain: writeLinks,
  clash: writeClash,
  "sing-box": writeSingBox,
  xray: writeXray,
};

import type { FormatName } from "./formats/formats.ts";

/** What a link can be answered with: a document for an app, a page, or the config of one endpoint of WireGuard. */
export type AnswerFormat = FormatName | "page" | "wireguard";

/** What a caller says of itself, as HTTP headers. */
export interface CallerHeaders {
  readonly userAgent: string;
  readonly accept: string;
}

/** The format for a caller that names none: by the app that it is, a page for browsers, else links. */
export function chooseFormat({ userAgent, accept }: CallerHeaders): AnswerFormat {
  const app = apps.find(({ pattern }) => pattern.test(userAgent));
  if (app !== undefined) return app.format;
  return /\btext\/html\b/i.test(accept) ? "page" : "links";
}

/** The first that fits counts: some apps name, besides themselves, all that they can read. */
const apps: readonly { readonly pattern: RegExp; readonly format: AnswerFormat }[] = [
  {
    pattern: /^(?:v2ray|hiddify|streisand|shadowrocket|happ\b|foxray|v2box|nekoray\/(?!.*clash))/i,
    format: "links",
  },
  { pattern: /^(?:sf[aimt]\b|karing|rabbithole)|\bsing-?box\b/i, format: "sing-box" },
  { pattern: /^(?:flowvy|murge|prizrak)|clash|mihomo|\bstash\b/i, format: "clash" },
];

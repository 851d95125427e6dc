import type { AnswerFormat } from "./format-choice.ts";
import { pagePolicy } from "./page/page-style.ts";
import type { SubscriptionView } from "./subscription-view.ts";

/** HTTP headers: names in lower case, values as they are sent. */
export type DocumentHeaders = Readonly<Record<string, string>>;

/** What goes with every answer about a subscription link, errors included: it is for nobody else, and for no archive. */
export const privacyHeaders: DocumentHeaders = {
  "cache-control": "private, no-store",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-robots-tag": "noindex, nofollow",
};

/** What apps read beside the document of a subscription, which may be saved as a file; and what keeps a page to itself. */
export function documentHeaders(view: Facts, format: AnswerFormat, fileName = view.title): DocumentHeaders {
  const headers: Record<string, string> = {
    "subscription-userinfo": userInfoOf(view),
    "profile-update-interval": `${updateHours}`,
    "profile-title": titleOf(view.title),
  };
  if (format === "page") headers["content-security-policy"] = pagePolicy;
  else headers["content-disposition"] = dispositionOf(fileName);
  return headers;
}

type Facts = Pick<SubscriptionView, "title" | "bytesUp" | "bytesDown" | "periodBytes" | "quotaBytes" | "expiresAt">;

/** How often apps fetch a subscription anew. */
const updateHours = 12;

/** Of the period, as the quota is. Its two directions are known as long as it is the only one. */
function userInfoOf({ bytesUp, bytesDown, periodBytes, quotaBytes, expiresAt }: Facts): string {
  const isWhole = bytesUp + bytesDown === periodBytes;
  const upload = isWhole ? bytesUp : 0n;
  const expire = expiresAt === null ? 0 : Math.floor(expiresAt / 1000);
  return `upload=${upload}; download=${periodBytes - upload}; total=${quotaBytes ?? 0n}; expire=${expire}`;
}

function titleOf(title: string): string {
  const isPlain = /^[!-~](?:[ -~]*[!-~])?$/.test(title) && !title.startsWith("base64:");
  return isPlain ? title : `base64:${Buffer.from(title).toString("base64")}`;
}

/** The name of the file that it may be saved to (RFC 6266), which many apps show as the name of the profile. */
function dispositionOf(fileName: string): string {
  const name = fileName.replace(/[\p{Cc}\p{Cf}/\\:*?"<>|]/gu, "_").toWellFormed();
  const plain = name.replace(/[^ -~]/g, "_");
  if (plain === name) return `attachment; filename="${plain}"`;
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

import { qrCodeSvg } from "../../../../platform/qr-code.ts";
import type { Pace } from "../../pace.ts";
import type { SubscriptionView } from "../subscription-view.ts";
import { amountOf, distanceOf } from "./amounts.ts";
import { escapeHtml } from "./escape-html.ts";
import { importLinks } from "./import-links.ts";
import { pageStyle } from "./page-style.ts";

/** What a page shows. */
export interface PageContent {
  readonly view: Pick<SubscriptionView, "title" | "state" | "periodBytes" | "quotaBytes" | "expiresAt">;
  /** The link of the subscription itself. */
  readonly url: string;
  readonly connections: readonly Connection[];
  /** Milliseconds since 1970. */
  readonly now: number;
}

/** One way to connect: by a link, or by a config, which is a file. */
export type Connection = {
  readonly name: string;
  /** The spelling of `VpnProtocol`. */
  readonly protocol: string;
} & (
  | { readonly link: string }
  | {
      readonly config: string;
      /** The file's name. */
      readonly file: string;
      /** By it, and in the format of this protocol, the page's own address has the file. */
      readonly nodeProtocolId: number;
    }
);

/** The page of a subscription for its user: whole in itself, without scripts. */
export async function renderPage({ view, url, connections, now }: PageContent, pace: Pace): Promise<string> {
  const title = escapeHtml(view.title);
  const shown: string[] = [];
  for (const [index, connection] of connections.entries()) {
    await pace();
    shown.push(connectionOf(connection, index < mostCodes));
  }
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex, nofollow">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<style>${pageStyle}</style>
</head>
<body>
<main>
<h1 dir="auto">${title}</h1>
${view.state === "over_quota" ? '<p class="notice">The traffic of this period is used up.</p>\n' : ""}${usageOf(view, now)}
${importOf(url, view.title)}
<section>
<h2>Connections</h2>
${shown.join("\n") || '<p class="soft">There are none at the moment.</p>'}
</section>
</main>
</body>
</html>
`;
}

/** Of so many connections, one after another, each has its code: they are most of the page's bytes. */
const mostCodes = 100;

function usageOf({ periodBytes, quotaBytes, expiresAt }: PageContent["view"], now: number): string {
  const left = quotaBytes === null ? undefined : quotaBytes > periodBytes ? quotaBytes - periodBytes : 0n;
  const share = quotaBytes ? Math.min(1, Number(periodBytes) / Number(quotaBytes)) : 0;
  const end = expiresAt === null ? "never" : `${dateOf(expiresAt)}, in ${distanceOf(expiresAt, now)}`;
  const bar =
    quotaBytes === null ? "" : `<progress value="${share.toFixed(4)}" aria-label="Traffic used"></progress>\n`;
  return `<section>
<h2>Traffic</h2>
${bar}<dl>
<dt>Used</dt><dd>${amountOf(periodBytes)}${quotaBytes === null ? "" : ` of ${amountOf(quotaBytes)}`}</dd>
<dt>Left</dt><dd>${left === undefined ? "no limit" : amountOf(left)}</dd>
<dt>Ends</dt><dd>${end}</dd>
</dl>
</section>`;
}

function importOf(url: string, title: string): string {
  const apps = importLinks(url, title).map(({ app, href }) => `<li><a href="${escapeHtml(href)}">${app}</a></li>`);
  return `<section>
<h2>Add it to an app</h2>
<p>Scan this code with the app, or copy the link and add it there as a subscription. The app then keeps all connections up
to date by itself.</p>
${qrCodeSvg(url) ?? ""}
<code class="link">${escapeHtml(url)}</code>
<p class="soft">An app that is installed on this device opens by a tap:</p>
<ul class="apps">
${apps.join("\n")}
</ul>
<p class="soft">Keep the link to yourself: whoever has it uses your traffic.</p>
</section>`;
}

function connectionOf(connection: Connection, hasCode: boolean): string {
  const { name, protocol } = connection;
  const code = (hasCode && qrCodeSvg("link" in connection ? connection.link : connection.config)) || "";
  return `<details>
<summary><bdi>${escapeHtml(name)}</bdi> <span>${escapeHtml(protocol)}</span></summary>
${code}
${"link" in connection ? linkOf(connection) : configOf(connection)}
</details>`;
}

function linkOf({ protocol, link }: Extract<Connection, { link: string }>): string {
  const text = escapeHtml(link);
  const open = protocol === "mtproto" ? `\n<a class="open" href="${text}">Open in Telegram</a>` : "";
  return `<code class="link">${text}</code>${open}`;
}

function configOf({ protocol, config, file, nodeProtocolId }: Extract<Connection, { config: string }>): string {
  const href = escapeHtml(`?format=${protocol}&nodeProtocolId=${nodeProtocolId}`);
  return `<p class="soft">Scan this code with the WireGuard app, or open the file there. It is for one device at a time.</p>
<a class="open" href="${href}" download="${escapeHtml(file)}">Download ${escapeHtml(file)}</a>
<pre class="link">${escapeHtml(config)}</pre>`;
}

function dateOf(ms: number): string {
  const text = dates.format(ms);
  return `<time datetime="${new Date(ms).toISOString()}">${text}</time>`;
}

const dates = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" });

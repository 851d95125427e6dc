import { createHash } from "node:crypto";

/** The style of the page of a subscription. */
export const pageStyle = `
:root { color-scheme: light dark; --ink: #16202c; --soft: #5a6878; --line: #d8dfe7; --card: #fff; --ground: #f1f4f8;
  --strong: #0b63ce; --field: #f6f8fb; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf3; --soft: #9aa7b5; --line: #2e3947; --card: #18202a;
  --ground: #0f141a; --strong: #6cb1ff; --field: #111820; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 42rem; margin: 0 auto; padding: 1rem; }
h1 { margin: .5rem 0 1rem; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 0 0 .75rem; font-size: 1.1rem; }
section { margin: 0 0 1rem; padding: 1rem; background: var(--card); border: 1px solid var(--line); border-radius: 12px; }
p { margin: 0 0 .75rem; }
section > :last-child, details > :last-child { margin-bottom: 0; }
progress { display: block; width: 100%; height: .75rem; margin: 0 0 .75rem; accent-color: var(--strong); }
dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; text-align: right; font-variant-numeric: tabular-nums; }
.notice { padding: .75rem 1rem; border-radius: 8px; background: #8a1c1c; color: #fff; }
.soft { color: var(--soft); font-size: .9rem; }
.link { display: block; margin: 0 0 .75rem; padding: .6rem .75rem; max-height: 8.5em; overflow: auto; background: var(--field);
  border: 1px solid var(--line); border-radius: 8px; font: .8rem/1.45 ui-monospace, monospace; overflow-wrap: anywhere;
  -webkit-user-select: all; user-select: all; }
pre.link { max-height: none; white-space: pre-wrap; }
.qr { display: block; width: min(100%, 17rem); margin: 0 auto .75rem; border-radius: 8px; }
.apps { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0 0 .75rem; padding: 0; list-style: none; }
.apps a, .open { display: inline-block; padding: .45rem .9rem; border: 1px solid var(--strong); border-radius: 99px;
  color: var(--strong); text-decoration: none; }
.open { margin-bottom: .75rem; }
details { border-top: 1px solid var(--line); padding: .75rem 0; }
details:first-of-type { border-top: 0; padding-top: 0; }
details:last-of-type { padding-bottom: 0; }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
summary span { color: var(--soft); font-weight: 400; font-size: .85rem; margin-inline-start: .5rem; }
details[open] summary { margin-bottom: .75rem; }
`;

/** The Content-Security-Policy of the page: its style and nothing else, from nowhere else, in no frame. */
export const pagePolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(pageStyle).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

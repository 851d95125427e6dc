import type { WriteDocument } from "../../document.ts";
import { groupNames } from "../../endpoint-names.ts";
import { express, namesToChooseFrom } from "../express.ts";
import { ownNetworks, probeUrl } from "../routes.ts";
import { clashProxy } from "./clash-proxy.ts";

/**
 * A config for Clash and Mihomo. Each proxy is JSON on a line of its own, which YAML contains: old and new programs read
 * it, nothing in a name can break out of it, and it is written fast. It has no `dns`: apps that need one bring their own.
 */
export const writeClash: WriteDocument = (endpoints) => {
  const { written, leftOut } = express(endpoints, clashProxy);
  const all = written.map(([{ name }]) => name);
  const automatic = namesToChooseFrom(written.map(([endpoint]) => endpoint));
  const groups = [
    // Without a way there shall be none past it either.
    { name: groupNames.chosen, type: "select", proxies: all.length > 0 ? [groupNames.fastest, ...all] : ["REJECT"] },
    { name: groupNames.fastest, type: "url-test", proxies: automatic, url: probeUrl, interval: probeSeconds },
  ];
  const sections = [
    head,
    list(
      "proxies",
      written.map(([, proxy]) => proxy),
    ),
    list("proxy-groups", all.length > 0 ? groups : groups.slice(0, 1)),
    list("rules", rules),
  ];
  return { contentType: "application/yaml; charset=utf-8", body: sections.join(""), leftOut };
};

const head = `mixed-port: 7890
allow-lan: false
mode: rule
log-level: warning
ipv6: true
`;

const probeSeconds = 300;

const rules = [
  ...ownNetworks.ipv4.map((network) => `IP-CIDR,${network},DIRECT,no-resolve`),
  ...ownNetworks.ipv6.map((network) => `IP-CIDR6,${network},DIRECT,no-resolve`),
  `MATCH,${groupNames.chosen}`,
];

function list(name: string, elements: readonly unknown[]): string {
  if (elements.length === 0) return `${name}: []\n`;
  return `${name}:\n${elements.map((element) => `  - ${yaml(element)}\n`).join("")}`;
}

/** A value as YAML in one line. */
function yaml(value: unknown): string {
  return JSON.stringify(value).replace(notInYaml, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

// JSON may hold these as they are, and YAML may not (1.2.2, section 5.1).
const notInYaml = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;

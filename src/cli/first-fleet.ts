import { once } from "node:events";
import { isIPv6 } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import encodeQR from "qr";
import { urlsOf } from "../core/public-urls.ts";
import type { CoreSettings } from "../core/settings.ts";
import { readIdentity } from "../node/agent/contact/identity.ts";
import { identityFile } from "../node/agent/enrolment.ts";
import { namesOfMachine } from "../platform/identity/certificate-names.ts";
import type { Terminal } from "./command.ts";
import { ensureFirstUser } from "./first-user.ts";
import { type OwnCore, openOwnCore } from "./own-core.ts";
import type { ReadyLine } from "./serve.ts";

/** Core and one node, both of this machine, on the way to their first user. */
export interface FirstFleet {
  /** A service has said that it is ready. */
  ready(line: ReadyLine): void;
  /**
   * What enrols the node, for `CORE_ENROLMENT_CODE`: waits until Core is ready, or rejects when the signal aborts.
   * Undefined when the node is enrolled already.
   */
  enrolmentCode(signal: AbortSignal): Promise<string | undefined>;
  /** Makes the first user once the node is enrolled, and shows how to connect, and how to go on. */
  welcome(terminal: Terminal): Promise<void>;
}

/** The node has not enrolled with Core. */
class NotEnrolled extends Error {
  override readonly name = "NotEnrolled";
}

// The node enrols within a second; where disks are slow, so much later.
const enrolmentMs = 60_000;

/** Opens the way; `settings` are those of Core. */
export function createFirstFleet(settings: CoreSettings): FirstFleet {
  const coreDir = join(settings.dataDir, "core");
  const identityPath = identityFile(join(settings.dataDir, "node", "agent"));
  const url = Promise.withResolvers<string>();
  const withCore = async <T>(work: (core: OwnCore) => Promise<T>): Promise<T> => {
    const core = await openOwnCore(await url.promise, settings, coreDir);
    try {
      return await work(core);
    } finally {
      core.close();
    }
  };
  return {
    ready(line) {
      if (line.service === "core") url.resolve(line.url);
    },
    async enrolmentCode(signal) {
      if ((await readIdentity(identityPath)) !== undefined) return undefined;
      await Promise.race([url.promise, aborted(signal)]);
      return withCore(async ({ fleet }) => (await fleet.nodes.createEnrolmentCode({})).code);
    },
    async welcome(terminal) {
      const nodeId = await enrolledAs(identityPath);
      const tokenFile = join(coreDir, "first-user-token");
      const token = await withCore(({ fleet }) => ensureFirstUser({ fleet, nodeId, tokenFile }));
      const authority = settings.tls && settings.certificate === undefined ? join(coreDir, "ca.pem") : undefined;
      const keyFile = settings.adminKeyFile ?? join(coreDir, "admin-key");
      const coreUrl = await url.promise;
      // Addresses change; the token is kept.
      const link = token && `${settings.subscriptionUrl ?? publicUrl(settings, coreUrl)}/sub/${token}`;
      const curl = `curl -sS${authority === undefined ? "" : ` --cacert '${authority}'`}`;
      const howToConnect = link === undefined ? linkReplaced : connecting(link, curl, terminal);
      terminal.write(["", ...howToConnect, "", ...goingOn(coreUrl, curl, keyFile), "", ""].join("\n"));
    },
  };
}

/** Waits until the node has enrolled: its id. */
async function enrolledAs(identityPath: string): Promise<number> {
  for (const until = performance.now() + enrolmentMs; performance.now() < until; await sleep(100)) {
    const identity = await readIdentity(identityPath);
    if (identity !== undefined) return identity.nodeId;
  }
  throw new NotEnrolled(`the node has not enrolled with Core within ${enrolmentMs / 1_000} s: its log says why`);
}

async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
}

/** Where users reach Core, as Core itself would say. */
function publicUrl({ publicUrls, host }: CoreSettings, coreUrl: string): string {
  const { protocol, port } = new URL(coreUrl);
  const listening = `${protocol}//${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const [first = coreUrl] = urlsOf(publicUrls, listening, namesOfMachine(hostname(), networkInterfaces()));
  return first;
}

const linkReplaced = [
  "The first user's link was replaced, or has ended, since it was made: whoever did so has the new one.",
];

function connecting(link: string, curl: string, terminal: Terminal): string[] {
  return [
    "The first user's subscription, for a client to subscribe to, and for a browser to look at:",
    "",
    `    ${link}`,
    "",
    qrCode(link, terminal),
    "",
    "# The same in this terminal, as share links:",
    `${curl} '${link}?format=plain'`,
  ];
}

function goingOn(coreUrl: string, curl: string, keyFile: string): string[] {
  return [
    "# What the fleet is, and everything that can be asked of it:",
    `KEY=$(cat '${keyFile}')`,
    `${curl} -H "authorization: Bearer $KEY" ${coreUrl}/api/v1/nodes`,
    `${curl} -H "authorization: Bearer $KEY" ${coreUrl}/openapi.json`,
  ];
}

/** Two modules of the code in a character: light ones are drawn, so a terminal that is not dark is told its colours. */
function qrCode(text: string, { isTTY = false }: Terminal): string {
  const lines = encodeQR(text, "ascii", { border: 2, ecc: "low" }).trimEnd().split("\n");
  return lines.map((line) => (isTTY ? `    \u001b[97;40m${line}\u001b[0m` : `    ${line}`)).join("\n");
}

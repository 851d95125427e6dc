import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { createFleetClient, type FleetClient } from "../client/fleet-client.ts";
import type { CoreSettings } from "../core/settings.ts";
import { pinnedTls } from "../platform/identity/pinned-tls.ts";

/** The Core of this machine, called as its first operator. */
export interface OwnCore {
  readonly fleet: FleetClient;
  /** Ends the calls and the connection. */
  close(): void;
}

/**
 * Opens a client of a Core that was started with these settings on this machine. It trusts the certificate that this Core
 * serves with, and no other.
 *
 * @param url where it listens, as its ready line says
 * @param dataDir Core's own directory, absolute
 */
export async function openOwnCore(url: string, settings: CoreSettings, dataDir: string): Promise<OwnCore> {
  const key = await readFile(settings.adminKeyFile ?? join(dataDir, "admin-key"), "utf8");
  const sessionManager = new Http2SessionManager(url, undefined, settings.tls ? await tlsOf(settings, dataDir) : {});
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "2", sessionManager });
  return { fleet: createFleetClient({ transport, key: key.trim() }), close: () => sessionManager.abort() };
}

async function tlsOf({ certificate }: CoreSettings, dataDir: string) {
  const trusted = await readFile(certificate?.certFile ?? join(dataDir, "ca.pem"), "utf8");
  // The operator's file begins with Core's own certificate, and need not hold the authority's.
  return { ...pinnedTls(trusted), allowPartialTrustChain: true };
}

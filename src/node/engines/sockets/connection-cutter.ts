import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { type CutOutcome, cutConnections } from "./cut-connections.ts";
import { ssMissing } from "./ss.ts";
import type { CutTarget } from "./ss-filter.ts";

/** Ends TCP connections of other programs on this machine. */
export interface ConnectionCutter {
  /** Why it can cut nothing, and what to do about it, in a sentence. Undefined when it can. */
  readonly inability: string | undefined;
  /** Cuts the established connections of these peers. Takes a few seconds at the most, and never rejects. */
  cut(targets: readonly CutTarget[]): Promise<CutOutcome>;
}

/** Options of {@link createConnectionCutter}. */
export interface ConnectionCutterOptions {
  /** The environment, of which `ss` is found by the `PATH`. */
  env: NodeJS.ProcessEnv;
  /** How long a cut may take. Default: 1.5 s. */
  timeoutMs?: number;
}

/** Makes a cutter, and finds out what it can do: it cuts a connection that it makes on 127.0.0.1 for that. */
export async function createConnectionCutter(options: ConnectionCutterOptions): Promise<ConnectionCutter> {
  const { env, timeoutMs = 1_500 } = options;
  const cut: ConnectionCutter["cut"] = (targets) => cutConnections(targets, { env, timeoutMs });
  return { inability: await probe(cut), cut };
}

/** Why nothing can be cut. Undefined when a connection was. */
async function probe(cut: ConnectionCutter["cut"]): Promise<string | undefined> {
  const server = createServer((socket) => socket.on("error", () => undefined)).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const client = connect({ host: "127.0.0.1", port }).on("error", () => undefined);
  try {
    await once(client, "connect");
    const { connections, failure } = await cut([
      { peer: "127.0.0.1", ports: [{ from: port, to: port }], localAddress: "127.0.0.1" },
    ]);
    return failure === undefined ? (connections.length > 0 ? undefined : kernelCannot) : reasonOf(failure);
  } finally {
    client.destroy();
    server.close();
  }
}

const kernelCannot =
  "this kernel does not end connections on request: it needs CONFIG_INET_DIAG_DESTROY, and the module tcp_diag loaded";

function reasonOf(failure: string): string {
  if (failure === ssMissing) return `${ssMissing}: install the package iproute2 and start the node again`;
  if (/not permitted|permission denied/i.test(failure)) {
    return (
      "the node may not end connections of other programs: it needs CAP_NET_ADMIN (as root it has that; in a container " +
      "`--cap-add NET_ADMIN`, under systemd `AmbientCapabilities=CAP_NET_ADMIN`)"
    );
  }
  return `\`ss -K\` of iproute2 does not work: ${failure}`;
}

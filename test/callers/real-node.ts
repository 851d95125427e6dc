import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { connect } from "node:tls";
import { freePorts } from "../support/ports.ts";
import { xrayPath } from "../xray-path.ts";

/** The command's own process, as an operator starts it: a node with TLS, its own certificate and its own key. */
export interface RealNode {
  /** `https://127.0.0.1:<port>`, or `http:` when the variables turn TLS off. */
  readonly url: string;
  /** The key that it was given. */
  readonly key: string;
  /** The file with the node's own certificate, PEM. Empty without TLS. */
  readonly certificate: string;
  /** Base64 of the SHA-256 of the certificate's public key, which browsers can be told to trust. Empty without TLS. */
  readonly publicKeyPin: string;
  /** A directory that is removed with the node. */
  readonly directory: string;
  readonly pid: number;
  /** The lines that it has logged so far. */
  readonly log: readonly string[];
  /** Ends it, and waits until it has. */
  close(): Promise<void>;
}

const root = new URL("../..", import.meta.url).pathname;
const key = "6ba1b9de-5c6b-4c9c-9d5d-0c2b1f2a7f10";

/**
 * Starts `garrison node` with these variables besides those that it needs; `enter` is put in front of the command, so
 * that it runs elsewhere.
 */
export async function startRealNode(
  variables: Record<string, string> = {},
  enter: readonly string[] = [],
): Promise<RealNode> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-caller-"));
  const [port] = await freePorts(1);
  const env = {
    PATH: process.env.PATH,
    HOME: process.env.HOME,
    XRAY_EXECUTABLE_PATH: await xrayPath(),
    NODE_HOST: "127.0.0.1",
    SERVICE_PORT: String(port),
    API_KEY: key,
    GARRISON_DATA_DIR: join(directory, "data"),
    ...variables,
  };
  const [program = "", ...args] = [...enter, join(root, "bin/garrison"), "node"];
  const child = spawn(program, args, { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
  const log: string[] = [];
  createInterface(child.stderr).on("line", (line) => log.push(line));
  const ended = once(child, "close");
  const close = async () => {
    child.kill("SIGTERM");
    await ended;
    await rm(directory, { recursive: true });
  };
  try {
    const lines = createInterface(child.stdout);
    const [line] = await Promise.race([once(lines, "line"), ended.then(() => [""])]);
    if (line === "") throw new Error(`garrison node ended before it was ready:\n${log.join("\n")}`);
    const { url, fingerprint } = JSON.parse(line) as { url: string; fingerprint: string };
    const certificate = join(directory, "node.pem");
    const publicKeyPin = url.startsWith("https:") ? await saveCertificate(url, fingerprint, certificate) : "";
    if (publicKeyPin === "") await writeFile(certificate, "");
    return { url, key: env.API_KEY, certificate, publicKeyPin, directory, pid: child.pid ?? 0, log, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Saves the certificate that is served, which must be the one that was told. Returns its pin. */
async function saveCertificate(url: string, fingerprint: string, file: string): Promise<string> {
  const { hostname, port } = new URL(url);
  const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const served = socket.getPeerX509Certificate();
  socket.destroy();
  if (served?.fingerprint256 !== fingerprint)
    throw new Error(`${url} serves the certificate ${served?.fingerprint256}, but ${fingerprint} was printed`);
  await writeFile(file, served.toString());
  return createHash("sha256")
    .update(served.publicKey.export({ type: "spki", format: "der" }))
    .digest("base64");
}

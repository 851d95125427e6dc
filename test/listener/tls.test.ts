import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, describe, expect, it } from "vitest";
import { createSelfSignedCertificate, fingerprintOf } from "../../src/platform/identity/certificate.ts";
import { ask, ends, type Handler, http2Client, open, pair, start } from "./support.ts";

const handler: Handler = (_request, response) => response.end("fine");

/** The fingerprint of the certificate that a new connection is shown. */
async function shown(port: number, session?: Buffer): Promise<string> {
  const socket: TLSSocket = connect({
    port,
    host: "127.0.0.1",
    rejectUnauthorized: false,
    ...(session && { session }),
  });
  ends({ close: () => socket.destroy() });
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject));
  return socket.getPeerCertificate().fingerprint256;
}

describe("replacing the certificate", () => {
  it("shows the new one to new connections, and leaves open ones alone", async () => {
    const { port, listener } = await start(handler, { tls: { pair } });
    const session = http2Client(port, { secure: true });
    expect((await ask(session)).status).toBe(200);
    expect(await shown(port)).toBe(pair.fingerprint);
    const next = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: [], now: new Date() });
    listener.replaceCertificate(next);
    expect(await shown(port)).toBe(next.fingerprint);
    expect((await ask(session)).status).toBe(200);
  });

  it("shows it to a client that resumes an old session too", async () => {
    const { port, listener } = await start(handler, { tls: { pair } });
    const line = await open(port, { maxVersion: "TLSv1.2" });
    const session = (line.socket as TLSSocket).getSession();
    const next = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: [], now: new Date() });
    listener.replaceCertificate(next);
    expect(await shown(port, session)).toBe(next.fingerprint);
  });

  it.each([
    [
      "a key of another",
      () => ({
        cert: pair.cert,
        key: createSelfSignedCertificate({ hostNames: ["x"], addresses: [], now: new Date() }).key,
      }),
    ],
    ["no certificate", () => ({ cert: "none", key: pair.key })],
    ["nothing", () => ({ cert: "", key: "" })],
  ])("refuses %s, and keeps the one it has", async (_kind, bad) => {
    const { port, listener } = await start(handler, { tls: { pair } });
    expect(() => listener.replaceCertificate(bad())).toThrow();
    expect(await shown(port)).toBe(pair.fingerprint);
    expect((await ask(http2Client(port, { secure: true }))).status).toBe(200);
  });
});

describe("client certificates", () => {
  const directory = mkdtempSync(join(tmpdir(), "garrison-client-ca-"));
  afterAll(() => rmSync(directory, { recursive: true }));
  const file = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => execFileSync("openssl", args, { cwd: directory, stdio: "pipe" });
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca", "-days", "2");
  openssl("req", ...newKey, "-keyout", "client.key", "-out", "client.csr", "-subj", "/CN=client");
  writeFileSync(file("empty"), "");
  openssl("x509", "-req", "-in", "client.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-out", "client.pem", "-days", "2");
  const clientCa = readFileSync(file("ca.pem"), "utf8");
  const client = { cert: readFileSync(file("client.pem")), key: readFileSync(file("client.key")) };

  it.each([
    ["h2", { ALPNProtocols: ["h2"] }],
    ["http/1.1", { ALPNProtocols: ["http/1.1"] }],
    ["TLS 1.2", { maxVersion: "TLSv1.2" as const }],
  ])("are asked for, and those of the right authority let in: %s", async (_name, options) => {
    const { port } = await start(handler, { tls: { pair, clientCa } });
    const line = await open(port, { ...client, ...options });
    line.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    await line.until("fine");
  });

  it.each([
    ["none", {}],
    ["one of another authority", { cert: pair.cert, key: pair.key }],
  ])("%s is refused, before and after the certificate was replaced", async (_kind, options) => {
    const { port, listener } = await start(handler, { tls: { pair, clientCa } });
    for (let i = 0; i < 2; i += 1) {
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        const line = await open(port, { ...options, maxVersion }).catch(() => undefined);
        line?.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        await line?.closed();
        expect(line?.text() ?? "").toBe("");
      }
      listener.replaceCertificate(pair);
    }
    expect((await ask(http2Client(port, { secure: true, ...client }))).status).toBe(200);
  });
});

it("the fingerprint is the one that OpenSSL prints", () => {
  const printed = execFileSync("openssl", ["x509", "-noout", "-fingerprint", "-sha256"], {
    input: pair.cert,
  }).toString();
  expect(printed.trim().split("=")[1]).toBe(fingerprintOf(pair.cert));
});

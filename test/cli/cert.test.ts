import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readFile, stat, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";
import { openPlace, type Place } from "./garrison.ts";

let place: Place;
beforeEach(async () => {
  place = await openPlace();
});
afterEach(() => place.close());

const kept = () => join(place.dataDir, "certificate/cert.pem");

async function servedFingerprint(url: unknown): Promise<string | undefined> {
  const { hostname: host, port } = new URL(String(url));
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const fingerprint = socket.getPeerX509Certificate()?.fingerprint256;
  socket.destroy();
  return fingerprint;
}

test("a certificate is made for this machine's names and those given, kept at 0600, and shown", async () => {
  const made = await place.finish(["cert", "create", "node.example.org", "192.0.2.7"]);
  expect(made).toEqual({
    code: 0,
    stdout: expect.stringMatching(/^([0-9A-F]{2}:){31}[0-9A-F]{2}\n$/),
    stderr: `${kept()}\n`,
  });
  expect((await stat(place.dataDir)).mode & 0o777).toBe(0o700);
  expect((await stat(join(place.dataDir, "certificate/key.pem"))).mode & 0o777).toBe(0o600);
  const shown = await place.finish(["cert", "show"]);
  const certificate = new X509Certificate(shown.stdout);
  for (const name of ["node.example.org", "localhost", hostname().toLowerCase()])
    expect(certificate.checkHost(name)).toBe(name);
  for (const address of ["192.0.2.7", "127.0.0.1"]) expect(certificate.checkIP(address)).toBe(address);
  expect(shown.stderr).toContain(`SHA-256 ${made.stdout}`);
  expect(await place.finish(["cert", "fingerprint"])).toEqual({ code: 0, stdout: made.stdout, stderr: "" });
});

test("a certificate that is there is not replaced by accident", async () => {
  const first = await place.finish(["cert", "create"]);
  const second = await place.finish(["cert", "create"]);
  expect(second.code).toBe(1);
  expect(second.stderr).toContain("holds a certificate already: --replace puts another in its place");
  expect((await place.finish(["cert", "fingerprint"])).stdout).toBe(first.stdout);
});

test("a node that runs picks up the certificate that replaces its own", async () => {
  const { url, fingerprint } = await place.call(["node"]).ready();
  expect((await place.finish(["cert", "fingerprint"])).stdout).toBe(`${fingerprint}\n`);
  const replaced = await place.finish(["cert", "create", "--replace"]);
  expect(replaced.stdout).not.toBe(`${fingerprint}\n`);
  await vi.waitFor(async () => expect(`${await servedFingerprint(url)}\n`).toBe(replaced.stdout), 10_000);
});

test("without a certificate it is told how one comes about", async () => {
  const { code, stdout, stderr } = await place.finish(["cert", "show"]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toContain("holds no certificate yet: `garrison cert create` makes one");
});

test("a certificate that the operator looks after is shown, and not touched", async () => {
  const own = createSelfSignedCertificate({ hostNames: ["own.example.org"], addresses: [], now: new Date() });
  const files = { SSL_CERT_FILE: join(place.directory, "c.pem"), SSL_KEY_FILE: join(place.directory, "k.pem") };
  await writeFile(files.SSL_CERT_FILE, own.cert);
  await writeFile(files.SSL_KEY_FILE, own.key);
  expect((await place.finish(["cert", "fingerprint"], files)).stdout).toBe(`${own.fingerprint}\n`);
  const replaced = await place.finish(["cert", "create", "--replace"], files);
  expect(replaced.code).toBe(1);
  expect(replaced.stderr).toContain(`${files.SSL_CERT_FILE} is in use`);
  expect(await readFile(files.SSL_CERT_FILE, "utf8")).toBe(own.cert);
});

test("a name that is none is refused", async () => {
  const { code, stderr } = await place.finish(["cert", "create", "no name"]);
  expect(code).toBe(2);
  expect(stderr).toContain('garrison cert: not a host name: "no name"');
});

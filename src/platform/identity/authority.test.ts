import { spawnSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { certificateSha256, createAuthority, issueCertificate } from "./authority.ts";

const now = new Date();
const names = { hostNames: ["core.example.org"], addresses: ["192.0.2.7", "2001:db8::7"] };
const authority = createAuthority("Garrison CA", now);
const issued = issueCertificate(authority, { names, now, days: 90 });
const directory = mkdtempSync(join(tmpdir(), "garrison-authority-"));
afterAll(() => rmSync(directory, { recursive: true }));

/** What OpenSSL makes of a certificate under an authority. */
function verify(ca: string, cert: string, ...args: string[]): { status: number | null; output: string } {
  writeFileSync(join(directory, "ca.pem"), ca);
  writeFileSync(join(directory, "cert.pem"), cert);
  const files = ["-CAfile", join(directory, "ca.pem"), join(directory, "cert.pem")];
  // Without -no-CApath and -no-CAstore the machine's own authorities would count besides.
  const strict = ["-no-CApath", "-no-CAstore", "-x509_strict", "-check_ss_sig", "-purpose", "sslserver"];
  const done = spawnSync("openssl", ["verify", ...strict, ...args, ...files], { encoding: "utf8" });
  return { status: done.status, output: done.stdout + done.stderr };
}

test.each([
  ["-verify_hostname", "core.example.org"],
  ["-verify_ip", "192.0.2.7"],
  ["-verify_ip", "2001:db8::7"],
])("OpenSSL accepts a certificate that the authority has signed, strictly, with %s %s", (...args) => {
  expect(verify(authority.cert, issued.cert, ...args)).toEqual({ status: 0, output: expect.stringContaining("OK") });
});

test("OpenSSL refuses it for another name, and under another authority of the same name", () => {
  expect(verify(authority.cert, issued.cert, "-verify_hostname", "example.org").status).not.toBe(0);
  expect(verify(createAuthority("Garrison CA", now).cert, issued.cert).output).toContain("unable to get local issuer");
});

test.each([
  ["ahead by years", "2033-05-01T00:00:00Z"],
  ["at 1970", "1970-01-01T00:00:10Z"],
])("an authority that is made while the clock is %s is good once the clock is right", (_, wrong) => {
  const made = createAuthority("Garrison CA", new Date(wrong));
  const { cert } = issueCertificate(made, { names, now, days: 90 });
  expect(verify(made.cert, cert)).toEqual({ status: 0, output: expect.stringContaining("OK") });
  expect(new X509Certificate(made.cert).validToDate.getUTCFullYear()).toBeGreaterThanOrEqual(2044);
});

test("what the authority has signed can sign nothing itself", () => {
  const impostor = issueCertificate({ cert: issued.cert, key: issued.key }, { names, now, days: 90 });
  const { status, output } = verify(authority.cert, impostor.cert, "-untrusted", join(directory, "cert.pem"));
  expect({ status, output }).toEqual({ status: 2, output: expect.stringMatching(/invalid CA certificate|invalid CA/) });
});

test("the authority is one of servers, not of authorities, and the chain ends in it", () => {
  const [leaf = "", root = ""] = issued.cert.split(/(?<=-----END CERTIFICATE-----\n)/);
  const ca = new X509Certificate(root);
  expect(root).toBe(authority.cert);
  expect(ca.ca).toBe(true);
  expect(new X509Certificate(leaf).ca).toBe(false);
  expect(new X509Certificate(leaf).checkIssued(ca)).toBe(true);
  expect(new X509Certificate(leaf).verify(ca.publicKey)).toBe(true);
  expect(new X509Certificate(leaf).checkPrivateKey(createPrivateKey(issued.key))).toBe(true);
  const text = spawnSync("openssl", ["x509", "-noout", "-text"], { input: root, encoding: "utf8" }).stdout;
  expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
  expect(text).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign/);
});

test("the digest that pins it is that of its DER, as OpenSSL has it", () => {
  const { stdout } = spawnSync("openssl", ["x509", "-noout", "-fingerprint", "-sha256"], {
    input: authority.cert,
    encoding: "utf8",
  });
  const digest = stdout.trim().split("=")[1]?.replaceAll(":", "").toLowerCase();
  expect(certificateSha256(authority.cert)).toBe(digest);
});

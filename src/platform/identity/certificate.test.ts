import { createPrivateKey, X509Certificate } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createSelfSignedCertificate, fingerprintOf } from "./certificate.ts";
import { namesOfMachine } from "./certificate-names.ts";

const now = new Date("2026-03-01T12:00:00Z");

function certificateFor(hostNames: string[], addresses: string[], days?: number) {
  const made = createSelfSignedCertificate({ hostNames, addresses, now, ...(days !== undefined && { days }) });
  return { ...made, x509: new X509Certificate(made.cert) };
}

describe("createSelfSignedCertificate", () => {
  it("signs itself with the key it comes with", () => {
    const { x509, key } = certificateFor(["node.example"], []);
    expect(x509.verify(x509.publicKey)).toBe(true);
    expect(x509.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(x509.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" });
    expect(x509.ca).toBe(false);
    expect(x509.keyUsage).toEqual(["1.3.6.1.5.5.7.3.1"]);
  });

  it.each([
    ["node.example", "node.example"],
    ["*.example.org", "eu.example.org"],
    ["münchen.example", "xn--mnchen-3ya.example"],
    ["my_host", "my_host"],
  ])("%s is a name of it: %s", (given, asked) => {
    expect(certificateFor(["localhost", given], []).x509.checkHost(asked)).toBeDefined();
  });

  it.each([
    ["192.0.2.255", "192.0.2.255"],
    ["::1", "::1"],
    ["::", "::"],
    ["2001:DB8:0:0:8:800:200C:417A", "2001:db8::8:800:200c:417a"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["1::", "1::"],
    ["::ffff:192.0.2.1", "::ffff:192.0.2.1"],
    ["2001:db8::1%eth0", "2001:db8::1"],
  ])("%s is an address of it", (given, asked) => {
    const { x509 } = certificateFor(["localhost"], ["203.0.113.1", given]);
    expect(x509.checkIP(asked)).toBeDefined();
    expect(x509.checkIP("203.0.113.2")).toBeUndefined();
  });

  it.each([
    [3_650, "2036-02-27"],
    [9_000, "2050-10-21"],
    [825, "2028-06-03"],
  ])("is valid for %i days, to %s", (days, to) => {
    const { x509 } = certificateFor(["localhost"], [], days);
    expect(x509.validFromDate).toEqual(new Date("2026-02-28T12:00:00Z"));
    expect(x509.validToDate).toEqual(new Date(`${to}T12:00:00Z`));
  });

  it("is never the same twice, and never has a line that OpenSSL would refuse", () => {
    const many = Array.from({ length: 200 }, (_, i) => certificateFor(["h".repeat(1 + (i % 60))], []));
    expect(new Set(many.map(({ x509 }) => x509.serialNumber)).size).toBe(200);
    for (const { cert, key } of many) {
      for (const text of [cert, key])
        expect(
          text
            .split("\n")
            .slice(0, -1)
            .every((line) => line.length > 0),
        ).toBe(true);
    }
  });

  it("cuts the subject, not the name, when a name is longer than a subject may be", () => {
    const name = `${"a".repeat(60)}.${"b".repeat(60)}.example`;
    const { x509 } = certificateFor([name], []);
    expect(x509.subject).toBe(`CN=${name.slice(0, 64)}`);
    expect(x509.checkHost(name, { subject: "never" })).toBe(name);
  });

  it.each([
    [[], []],
    [["two words"], []],
    [["192.0.2.1"], []],
    [[""], []],
    [["localhost"], ["node.example"]],
    [["localhost"], ["192.0.2.256"]],
  ])("refuses the names %j and addresses %j", (hostNames, addresses) => {
    expect(() => certificateFor(hostNames, addresses)).toThrow(RangeError);
  });
});

describe("fingerprintOf", () => {
  it("is the SHA-256 of the certificate, in pairs", () => {
    const { cert, fingerprint, x509 } = certificateFor(["localhost"], []);
    expect(fingerprint).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
    expect(fingerprintOf(cert)).toBe(fingerprint);
    expect(fingerprintOf(x509.raw)).toBe(fingerprint);
    expect(fingerprintOf(`${cert}${certificateFor(["other"], []).cert}`)).toBe(fingerprint);
  });
});

describe("namesOfMachine", () => {
  const address = (text: string) => ({ address: text, netmask: "", mac: "", internal: false, cidr: null }) as const;

  it("are its names and the addresses that others can reach", () => {
    const interfaces = {
      lo: [{ ...address("127.0.0.1"), family: "IPv4" as const, internal: true }],
      eth0: [
        { ...address("192.0.2.7"), family: "IPv4" as const },
        { ...address("169.254.3.4"), family: "IPv4" as const },
        { ...address("2001:db8::7"), family: "IPv6" as const, scopeid: 0 },
        { ...address("fe80::7"), family: "IPv6" as const, scopeid: 2 },
      ],
      gone: undefined,
    };
    expect(namesOfMachine("Web-1", interfaces)).toEqual({
      hostNames: ["localhost", "web-1"],
      addresses: ["127.0.0.1", "::1", "192.0.2.7", "2001:db8::7"],
    });
  });

  it("are last those of tunnels, wherever the system names them", () => {
    const interfaces = {
      wg0: [{ ...address("10.66.0.1"), family: "IPv4" as const, mac: "00:00:00:00:00:00" }],
      eth0: [{ ...address("192.0.2.7"), family: "IPv4" as const, mac: "02:00:00:00:00:01" }],
    };
    expect(namesOfMachine("web-1", interfaces).addresses).toEqual(["127.0.0.1", "::1", "192.0.2.7", "10.66.0.1"]);
  });

  it.each(["1234", "my host", "-x", "", "a..b", "10.0.0.1", "0x1f", "x".repeat(64)])(
    "a host called %j goes without",
    (name) => {
      expect(namesOfMachine(name, {}).hostNames).toEqual(["localhost"]);
    },
  );

  it.each(["3c4d5e6f7a8b", "my_host", "a.b-c.example"])("a certificate can be made for a host called %j", (name) => {
    expect(() => createSelfSignedCertificate({ ...namesOfMachine(name, {}), now })).not.toThrow();
    expect(namesOfMachine(name, {}).hostNames).toContain(name);
  });
});

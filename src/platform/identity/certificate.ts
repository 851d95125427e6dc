import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { addressBytes } from "./address-bytes.ts";
import { bitString, contextTag, der, objectIdentifier, tag, time, unsignedInteger } from "./certificate-der.ts";

/** Options of {@link createSelfSignedCertificate}. */
export interface SelfSignedOptions {
  /** Names that clients reach the service by; `*.example.org` covers one level. The first is the subject. */
  hostNames: readonly string[];
  /** IP addresses that clients reach the service by, IPv4 or IPv6. */
  addresses: readonly string[];
  now: Date;
  /** How long it is valid. Default: 3,650. */
  days?: number;
}

/** A certificate and its key, both PEM. */
export interface SelfSigned {
  cert: string;
  /** PKCS #8. */
  key: string;
  /** See {@link fingerprintOf}. */
  fingerprint: string;
}

/**
 * Makes a certificate for a server that signs itself (EC P-256), to be trusted by whoever was given it. It is no
 * authority: it can vouch for no other name. Throws when it would have no name, or one that is none.
 */
export function createSelfSignedCertificate(options: SelfSignedOptions): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const content = unsignedCertificate(options, publicKey);
  const signature = sign("sha256", content, privateKey);
  const cert = pem("CERTIFICATE", der(tag.sequence, content, ecdsaWithSha256, bitString(signature)));
  return {
    cert,
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    fingerprint: fingerprintOf(cert),
  };
}

/** The SHA-256 fingerprint of a certificate (of the first, when PEM holds several): `AB:CD:…`. Throws when it is none. */
export function fingerprintOf(cert: string | Buffer): string {
  return new X509Certificate(cert).fingerprint256;
}

const day = 86_400_000;
const ecdsaWithSha256 = der(tag.sequence, objectIdentifier("1.2.840.10045.4.3.2"));
const commonNameLength = 64; // RFC 5280, ub-common-name

// RFC 5280 §4.1: what is signed.
function unsignedCertificate(
  { hostNames, addresses, now, days = 3_650 }: SelfSignedOptions,
  publicKey: KeyObject,
): Buffer {
  const names = [...hostNames.map(asciiName), ...addresses.map(ipAddress)];
  const [first = ""] = [...hostNames, ...addresses];
  if (names.length === 0) throw new RangeError("a certificate needs a host name or an address");
  const subject = distinguishedName(first.slice(0, commonNameLength));
  const spki = publicKey.export({ type: "spki", format: "der" });
  const keyId = createHash("sha1").update(spki).digest();
  return der(
    tag.sequence,
    der(contextTag(0, "constructed"), unsignedInteger(Buffer.of(2))), // version 3
    unsignedInteger(randomBytes(16)),
    ecdsaWithSha256,
    subject,
    // A day early, for clients whose clock is behind.
    der(tag.sequence, time(new Date(now.getTime() - day)), time(new Date(now.getTime() + days * day))),
    subject,
    spki,
    der(
      contextTag(3, "constructed"),
      der(
        tag.sequence,
        extension("2.5.29.19", der(tag.sequence), "critical"), // basicConstraints: no authority
        extension("2.5.29.15", bitString(Buffer.of(0x80), 7), "critical"), // keyUsage: digitalSignature
        extension("2.5.29.37", der(tag.sequence, objectIdentifier("1.3.6.1.5.5.7.3.1"))), // extKeyUsage: serverAuth
        extension("2.5.29.17", der(tag.sequence, ...names)), // subjectAltName
        extension("2.5.29.14", der(tag.octetString, keyId)), // subjectKeyIdentifier
      ),
    ),
  );
}

function asciiName(name: string): Buffer {
  const wildcard = name.startsWith("*.") ? "*." : "";
  const ascii = domainToASCII(name.slice(wildcard.length));
  if (ascii === "" || isIP(ascii) !== 0) throw new RangeError(`not a host name: ${JSON.stringify(name)}`);
  return der(contextTag(2, "primitive"), Buffer.from(wildcard + ascii));
}

function ipAddress(address: string): Buffer {
  return der(contextTag(7, "primitive"), addressBytes(address));
}

function distinguishedName(commonName: string): Buffer {
  const attribute = der(tag.sequence, objectIdentifier("2.5.4.3"), der(tag.utf8String, Buffer.from(commonName)));
  return der(tag.sequence, der(tag.set, attribute));
}

function extension(identifier: string, value: Buffer, criticality?: "critical"): Buffer {
  const critical = criticality === undefined ? [] : [der(tag.boolean, Buffer.of(0xff))];
  return der(tag.sequence, objectIdentifier(identifier), ...critical, der(tag.octetString, value));
}

// Lines of 64 characters and no empty last one: OpenSSL refuses that.
function pem(label: string, content: Buffer): string {
  const lines = content.toString("base64").match(/.{1,64}/g) ?? [];
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ""].join("\n");
}

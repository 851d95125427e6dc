import { createHash, type KeyObject, randomBytes, sign } from "node:crypto";
import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import { addressBytes } from "./address-bytes.ts";
import { bitString, contextTag, der, objectIdentifier, tag, time, unsignedInteger } from "./certificate-der.ts";
import type { CertificateNames } from "./certificate-names.ts";

// What certificates say (RFC 5280), as much of it as ours need. All are signed with EC P-256 and SHA-256.

/** What a certificate says, and who signs it. */
export interface CertificateContent {
  /** Common names. */
  readonly subject: string;
  readonly issuer: string;
  /** The subject's. */
  readonly publicKey: KeyObject;
  /** The issuer's private key. */
  readonly signedWith: KeyObject;
  readonly validFrom: Date;
  readonly validTo: Date;
  readonly extensions: readonly Buffer[];
}

/** Makes a certificate, PEM. */
export function signCertificate(content: CertificateContent): string {
  const unsigned = unsignedCertificate(content);
  const signature = sign("sha256", unsigned, content.signedWith);
  return pem("CERTIFICATE", der(tag.sequence, unsigned, ecdsaWithSha256, bitString(signature)));
}

/** How long a certificate is valid that is made now: since a day ago, for clients whose clock is behind. */
export function validFor(days: number, now: Date): Pick<CertificateContent, "validFrom" | "validTo"> {
  const day = 86_400_000;
  return { validFrom: new Date(now.getTime() - day), validTo: new Date(now.getTime() + days * day) };
}

/** The common name of a server's certificate: its first name. Names that are longer than one may be are cut. */
export function commonNameOf({ hostNames, addresses }: CertificateNames): string {
  const [first = ""] = [...hostNames, ...addresses];
  return first.slice(0, commonNameLength);
}

/** A private key in PEM, PKCS #8. */
export function pemOfKey(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** The extensions of a TLS server that vouches for nobody else. Throws a RangeError without a name, or for one that is none. */
export function serverExtensions({ hostNames, addresses }: CertificateNames): Buffer[] {
  const names = [...hostNames.map(asciiName), ...addresses.map(ipAddress)];
  if (names.length === 0) throw new RangeError("a certificate needs a host name or an address");
  return [
    extension("2.5.29.19", der(tag.sequence), "critical"), // basicConstraints: no authority
    extension("2.5.29.15", bitString(Buffer.of(0x80), 7), "critical"), // keyUsage: digitalSignature
    extension("2.5.29.37", der(tag.sequence, objectIdentifier("1.3.6.1.5.5.7.3.1"))), // extKeyUsage: serverAuth
    extension("2.5.29.17", der(tag.sequence, ...names)), // subjectAltName
  ];
}

/** The extensions of an authority that signs servers, and no further authorities. */
export function authorityExtensions(): Buffer[] {
  const isAuthority = der(tag.boolean, Buffer.of(0xff));
  const pathLength = unsignedInteger(Buffer.of(0));
  return [
    extension("2.5.29.19", der(tag.sequence, isAuthority, pathLength), "critical"), // basicConstraints
    extension("2.5.29.15", bitString(Buffer.of(0x06), 1), "critical"), // keyUsage: keyCertSign, cRLSign
  ];
}

/** Names the key of the subject. */
export function subjectKeyIdentifier(publicKey: KeyObject): Buffer {
  return extension("2.5.29.14", der(tag.octetString, keyIdentifier(publicKey)));
}

/** Names the key of the issuer. */
export function authorityKeyIdentifier(publicKey: KeyObject): Buffer {
  return extension("2.5.29.35", der(tag.sequence, der(contextTag(0, "primitive"), keyIdentifier(publicKey))));
}

const ecdsaWithSha256 = der(tag.sequence, objectIdentifier("1.2.840.10045.4.3.2"));
const commonNameLength = 64; // RFC 5280, ub-common-name

// RFC 5280 §4.1: what is signed.
function unsignedCertificate({
  subject,
  issuer,
  publicKey,
  validFrom,
  validTo,
  extensions,
}: CertificateContent): Buffer {
  return der(
    tag.sequence,
    der(contextTag(0, "constructed"), unsignedInteger(Buffer.of(2))), // version 3
    unsignedInteger(randomBytes(16)),
    ecdsaWithSha256,
    distinguishedName(issuer),
    der(tag.sequence, time(validFrom), time(validTo)),
    distinguishedName(subject),
    publicKey.export({ type: "spki", format: "der" }),
    der(contextTag(3, "constructed"), der(tag.sequence, ...extensions)),
  );
}

function keyIdentifier(publicKey: KeyObject): Buffer {
  return createHash("sha1")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest();
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

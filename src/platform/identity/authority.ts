import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { fingerprintOf } from "./certificate.ts";
import {
  authorityExtensions,
  authorityKeyIdentifier,
  commonNameOf,
  pemOfKey,
  serverExtensions,
  signCertificate,
  subjectKeyIdentifier,
  validFor,
} from "./certificate-content.ts";
import type { Certificate } from "./certificate-files.ts";
import type { CertificateNames } from "./certificate-names.ts";

/** A certificate authority of our own: its certificate, and the key that it signs with. Both PEM. */
export interface AuthorityKeyPair {
  readonly cert: string;
  /** PKCS #8. */
  readonly key: string;
}

/** What a server's certificate is made of. */
export interface IssueOptions {
  readonly names: CertificateNames;
  readonly now: Date;
  /** How long it is valid. */
  readonly days: number;
}

const authorityDays = 7_300;
const firstDay = new Date("2025-01-01T00:00:00Z");

/**
 * Makes an authority (EC P-256, valid for 20 years) that signs the certificates of servers. It cannot be replaced without
 * all who trust it, so it is good also where the clock is wrong when it is made: it is valid since 2025, at least to 2044.
 *
 * @param name what it is called in certificates, at most 40 characters; some random ones are put behind
 */
export function createAuthority(name: string, now: Date): AuthorityKeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  // Whoever looks for the issuer of a certificate by name shall not find that of another installation.
  const subject = `${name} ${randomBytes(4).toString("hex")}`;
  const cert = signCertificate({
    subject,
    issuer: subject,
    publicKey,
    signedWith: privateKey,
    validFrom: firstDay,
    validTo: validFor(authorityDays, now > firstDay ? now : firstDay).validTo,
    extensions: [...authorityExtensions(), subjectKeyIdentifier(publicKey)],
  });
  return { cert, key: pemOfKey(privateKey) };
}

/** Makes a certificate for a server, signed by an authority, whose own certificate follows it in the chain. */
export function issueCertificate(authority: AuthorityKeyPair, { names, now, days }: IssueOptions): Certificate {
  const issuer = new X509Certificate(authority.cert);
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const cert = signCertificate({
    subject: commonNameOf(names),
    issuer: commonNameIn(issuer),
    publicKey,
    signedWith: createPrivateKey(authority.key),
    ...validFor(days, now),
    extensions: [...serverExtensions(names), subjectKeyIdentifier(publicKey), authorityKeyIdentifier(issuer.publicKey)],
  });
  return {
    cert: `${cert}${authority.cert}`,
    key: pemOfKey(privateKey),
    fingerprint: fingerprintOf(cert),
    validTo: new X509Certificate(cert).validToDate,
  };
}

/** SHA-256 of a certificate, in lower-case hex: what pins an authority. */
export function certificateSha256(cert: string | Buffer): string {
  return createHash("sha256").update(new X509Certificate(cert).raw).digest("hex");
}

function commonNameIn({ subject }: X509Certificate): string {
  const name = /^CN=(.*)$/m.exec(subject)?.[1];
  if (name === undefined) throw new TypeError(`the authority has no common name: ${subject}`);
  return name;
}

import { generateKeyPairSync, X509Certificate } from "node:crypto";
import {
  commonNameOf,
  pemOfKey,
  serverExtensions,
  signCertificate,
  subjectKeyIdentifier,
  validFor,
} from "./certificate-content.ts";

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
export function createSelfSignedCertificate({
  hostNames,
  addresses,
  now,
  days = 3_650,
}: SelfSignedOptions): SelfSigned {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = commonNameOf({ hostNames, addresses });
  const cert = signCertificate({
    subject,
    issuer: subject,
    publicKey,
    signedWith: privateKey,
    ...validFor(days, now),
    extensions: [...serverExtensions({ hostNames, addresses }), subjectKeyIdentifier(publicKey)],
  });
  return { cert, key: pemOfKey(privateKey), fingerprint: fingerprintOf(cert) };
}

/** The SHA-256 fingerprint of a certificate (of the first, when PEM holds several): `AB:CD:…`. Throws when it is none. */
export function fingerprintOf(cert: string | Buffer): string {
  return new X509Certificate(cert).fingerprint256;
}

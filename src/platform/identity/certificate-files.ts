import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { mkdtemp, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../errno.ts";
import type { Logger } from "../telemetry/log.ts";
import type { SelfSigned } from "./certificate.ts";

/** Paths of a certificate and its key. */
export interface CertificateFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** A certificate and the key that belongs to it. */
export interface Certificate {
  /** PEM, with its chain when the file has one. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  /** SHA-256 of the certificate: `AB:CD:…`. */
  readonly fingerprint: string;
  readonly validTo: Date;
}

/** A certificate cannot be used. The message names the file and what is wrong with it. */
export class UnusableCertificate extends Error {
  override readonly name = "UnusableCertificate";
}

/**
 * Reads a certificate and its key.
 *
 * @throws UnusableCertificate when a file cannot be read or holds something else, or the two do not belong together
 */
export async function readCertificate(files: CertificateFiles): Promise<Certificate> {
  const [cert, key] = await Promise.all([readText(files.certFile), readText(files.keyFile)]);
  return matchCertificate(files, cert, key);
}

/** The same, of texts that were read already. */
function matchCertificate({ certFile, keyFile }: CertificateFiles, cert: string, key: string): Certificate {
  const x509 = parsed(certFile, "certificate in PEM", () => new X509Certificate(cert));
  const privateKey: KeyObject = parsed(keyFile, "private key in PEM without a passphrase", () => createPrivateKey(key));
  if (!x509.checkPrivateKey(privateKey)) {
    throw new UnusableCertificate(`${keyFile} is not the key of the certificate in ${certFile}`);
  }
  return { cert, key, fingerprint: x509.fingerprint256, validTo: x509.validToDate };
}

/** Says so, and what to do, when clients refuse a certificate for its dates. */
export function warnOfDates({ cert }: Certificate, now: Date, log: Pick<Logger, "warn">): void {
  const { validFromDate: from, validToDate: to } = new X509Certificate(cert);
  if (from <= now && now <= to) return;
  const dates = `it is valid from ${from.toISOString()} to ${to.toISOString()}, and now it is ${now.toISOString()}`;
  const problem = `${dates}: set the clock of this machine right, or replace the certificate`;
  log.warn({ problem }, "clients refuse the certificate");
}

/** Where a directory keeps a certificate that was made. */
export function keptFiles(directory: string): CertificateFiles {
  return { certFile: join(directory, "cert.pem"), keyFile: join(directory, "key.pem") };
}

/** A directory is absent or empty, so that a certificate can be kept there. */
export async function isVacant(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).length === 0;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return true;
    throw error;
  }
}

/**
 * Keeps a certificate that was made: directory 0700, files 0600, both there or neither. When the directory is no longer
 * vacant, because another process was first, nothing is kept.
 *
 * @returns whether it was kept
 */
export async function keepCertificate(directory: string, made: SelfSigned): Promise<boolean> {
  const draft = await mkdtemp(`${directory}-`); // 0700
  const { certFile, keyFile } = keptFiles(draft);
  try {
    await writeSecret(keyFile, made.key);
    await writeSecret(certFile, made.cert);
    await rename(draft, directory);
    return true;
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (isErrno(error, "ENOTEMPTY") || isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/**
 * Puts a certificate in the place of the one that a directory keeps. Who reads meanwhile may find the new key with the
 * old certificate, sees that they do not match, and reads again.
 */
export async function replaceKept(directory: string, made: SelfSigned): Promise<void> {
  const { certFile, keyFile } = keptFiles(directory);
  const draft = await mkdtemp(`${directory}-`);
  const next = keptFiles(draft);
  try {
    await writeSecret(next.keyFile, made.key);
    await writeSecret(next.certFile, made.cert);
    await rename(next.keyFile, keyFile);
    await rename(next.certFile, certFile);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UnusableCertificate(`cannot read ${file}: ${reasonOf(error)}`, { cause: error });
  }
}

function parsed<T>(file: string, kind: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw new UnusableCertificate(`${file} holds no ${kind}: ${reasonOf(error)}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function writeSecret(file: string, text: string): Promise<void> {
  await using handle = await open(file, "wx", 0o600);
  await handle.writeFile(text);
  await handle.sync();
}

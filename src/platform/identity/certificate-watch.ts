import { setTimeout as sleep } from "node:timers/promises";
import { pause } from "../pause.ts";
import { createSelfSignedCertificate } from "./certificate.ts";
import {
  type Certificate,
  type CertificateFiles,
  isVacant,
  keepCertificate,
  keptFiles,
  readCertificate,
} from "./certificate-files.ts";
import type { CertificateNames } from "./certificate-names.ts";

/** Options of {@link openCertificate}. */
export interface OpenCertificateOptions {
  /** A certificate that someone else looks after. Without it, one is made on first start and kept in `directory`. */
  files?: CertificateFiles;
  /** Where a certificate that is made is kept. Its parent exists. */
  directory: string;
  /** What a certificate that is made is valid for. */
  names: CertificateNames;
  now: () => Date;
  /** How often the files are looked at. Default: 5,000. */
  pollMs?: number;
  /** The files hold another certificate now. When it throws, the one before stays current. */
  onChange: (certificate: Certificate) => void;
  /** The files hold something that cannot be used. Told once; the certificate before stays current. */
  onProblem: (message: string) => void;
}

/** A certificate in use, whose files are watched. */
export interface OpenCertificate {
  readonly files: CertificateFiles;
  /** The newest one that could be used. */
  readonly current: Certificate;
  /** It was made by this start. */
  readonly made: boolean;
  /** Stops watching. */
  close(): Promise<void>;
}

const defaultPollMs = 5_000;
// Whoever replaces a certificate writes two files: a reader may come in between.
const readAttempts = 10;
const betweenAttemptsMs = 50;

/**
 * Opens the certificate of a service, and makes one where none is given. Its files are read again and again: contents
 * tell a change where times do not, and links and mounts may be swapped without an event.
 *
 * @throws UnusableCertificate when there is none to start with
 */
export async function openCertificate(options: OpenCertificateOptions): Promise<OpenCertificate> {
  const files = options.files ?? keptFiles(options.directory);
  const made = options.files === undefined && (await makeFirst(options));
  let current = await readPatiently(files);
  let problem: string | undefined;
  const closed = new AbortController();

  async function look() {
    try {
      const next = await readCertificate(files);
      problem = undefined;
      if (next.cert === current.cert && next.key === current.key) return;
      options.onChange(next);
      current = next;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== problem) options.onProblem(message);
      problem = message;
    }
  }

  async function watch() {
    while (await pause(options.pollMs ?? defaultPollMs, closed.signal)) await look();
  }
  const watching = watch();

  return {
    files,
    get current() {
      return current;
    },
    made,
    close() {
      closed.abort();
      return watching;
    },
  };
}

async function makeFirst({ directory, names, now }: OpenCertificateOptions): Promise<boolean> {
  if (!(await isVacant(directory))) return false;
  return keepCertificate(directory, createSelfSignedCertificate({ ...names, now: now() }));
}

async function readPatiently(files: CertificateFiles): Promise<Certificate> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await readCertificate(files);
    } catch (error) {
      if (attempt === readAttempts) throw error;
      await sleep(betweenAttemptsMs);
    }
  }
}

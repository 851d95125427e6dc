import { pause } from "../pause.ts";
import { type AuthorityKeyPair, issueCertificate } from "./authority.ts";
import type { Certificate } from "./certificate-files.ts";
import type { CertificateNames } from "./certificate-names.ts";

/** Options of {@link openIssuedCertificate}. */
export interface IssuedCertificateOptions {
  authority: AuthorityKeyPair;
  /** What the certificate shall be valid for: asked again and again. */
  names: () => CertificateNames;
  now: () => Date;
  /** How often it is looked at whether another one is due. Default: 60,000. */
  pollMs?: number;
  /** There is another certificate now. */
  onChange: (certificate: Certificate) => void;
  /** No other certificate could be made, which is due. Told once; the one before stays. */
  onProblem: (message: string) => void;
}

/** A certificate that is made anew before it ends, and when the names of the machine change. */
export interface IssuedCertificate {
  readonly current: Certificate;
  /** Makes no more. */
  close(): Promise<void>;
}

const validDays = 90;
const renewBeforeMs = 30 * 86_400_000;
const defaultPollMs = 60_000;

/** Makes a certificate for this machine, signed by an authority of ours. It is kept in memory only. */
export function openIssuedCertificate(options: IssuedCertificateOptions): IssuedCertificate {
  const { authority, now, pollMs = defaultPollMs, onChange, onProblem } = options;
  const issue = (names: CertificateNames) => issueCertificate(authority, { names, now: now(), days: validDays });
  let names = options.names();
  let current = issue(names);
  let problem: string | undefined;
  const closed = new AbortController();

  function look() {
    try {
      const wanted = options.names();
      const leftMs = current.validTo.getTime() - now().getTime();
      // The clock was ahead when it was made: clients may not take it yet.
      const isEarly = leftMs > validDays * 86_400_000;
      const isDue = leftMs < renewBeforeMs || isEarly;
      if (!isDue && isSame(names, wanted)) return;
      const next = issue(wanted);
      onChange(next);
      [current, names, problem] = [next, wanted, undefined];
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (message !== problem) onProblem(message);
      problem = message;
    }
  }

  async function watch() {
    while (await pause(pollMs, closed.signal)) look();
  }
  const watching = watch();

  return {
    get current() {
      return current;
    },
    close() {
      closed.abort();
      return watching;
    },
  };
}

function isSame(before: CertificateNames, after: CertificateNames): boolean {
  const listed = ({ hostNames, addresses }: CertificateNames) => [...hostNames, "", ...addresses].toSorted().join("\n");
  return listed(before) === listed(after);
}

import { type AuthorityKeyPair, certificateSha256 } from "../platform/identity/authority.ts";
import { type Certificate, type CertificateFiles, warnOfDates } from "../platform/identity/certificate-files.ts";
import type { CertificateNames } from "../platform/identity/certificate-names.ts";
import { openCertificate } from "../platform/identity/certificate-watch.ts";
import { openIssuedCertificate } from "../platform/identity/issued-certificate.ts";
import type { Logger } from "../platform/telemetry/log.ts";

/** Options of {@link openServerCertificate}. */
export interface ServerCertificateOptions {
  /** Whose certificate it is: the operator's, in files, or one that Core's own authority signs. */
  source: { readonly files: CertificateFiles } | { readonly authority: AuthorityKeyPair };
  names: () => CertificateNames;
  now: () => Date;
  /** There is another certificate now. */
  onChange: (certificate: Certificate) => void;
  log: Logger;
}

/** The certificate that Core shows. */
export interface ServerCertificate {
  readonly current: Certificate;
  close(): Promise<void>;
}

/** Opens the certificate of Core's server, and follows its changes. Throws UnusableCertificate. */
export async function openServerCertificate(options: ServerCertificateOptions): Promise<ServerCertificate> {
  const { source, names, now, log } = options;
  const following = {
    now,
    onChange(certificate: Certificate) {
      options.onChange(certificate);
      log.info({ fingerprint: certificate.fingerprint }, "the certificate has changed");
      warnOfDates(certificate, now(), log);
    },
    onProblem: (problem: string) => log.warn({ problem }, "the certificate has not changed: no new one can be used"),
  };
  const opened =
    "files" in source
      ? // Where one would be kept that is made: none is, since there are files.
        await openCertificate({ ...following, files: source.files, directory: "", names: names() })
      : openIssuedCertificate({ ...following, authority: source.authority, names });
  const { fingerprint, validTo } = opened.current;
  log.info(
    { fingerprint, validTo, ...("authority" in source && { ca: certificateSha256(source.authority.cert) }) },
    "certificate",
  );
  warnOfDates(opened.current, now(), log);
  return opened;
}

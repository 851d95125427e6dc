import { isIP } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { certificateFiles, certificateVariables } from "../node/settings.ts";
import { commonVariables, dataDirOf, processOwner } from "../platform/config/common.ts";
import { certificateDir, openDataDir } from "../platform/config/data-dir.ts";
import { readVariables, variablesAsText } from "../platform/config/variables.ts";
import { createSelfSignedCertificate, type SelfSigned } from "../platform/identity/certificate.ts";
import {
  type Certificate,
  type CertificateFiles,
  isVacant,
  keepCertificate,
  keptFiles,
  readCertificate,
  replaceKept,
} from "../platform/identity/certificate-files.ts";
import { namesOfMachine } from "../platform/identity/certificate-names.ts";
import { type Command, type Invocation, refuseWords, type Surroundings, WrongUsage } from "./command.ts";

const variables = { GARRISON_DATA_DIR: commonVariables.GARRISON_DATA_DIR, ...certificateVariables };

/** `garrison cert` */
export const certCommand: Command = {
  usage: [
    "garrison cert show",
    "       garrison cert fingerprint",
    "       garrison cert create [--replace] [name or address …]",
  ].join("\n"),
  about: [
    "show         prints the certificate that the node shows its callers, PEM; where it is goes to stderr.",
    "fingerprint  prints its SHA-256 fingerprint.",
    "create       makes a certificate for the names and addresses of this machine, and those given besides. A",
    "             node without a certificate does so by itself. One that runs picks up the new one within seconds.",
    "",
    "Core has another one, signed by its own authority: core/ca.pem in the data directory is what callers trust.",
  ].join("\n"),
  options: { replace: { type: "boolean", about: "create: in the place of the one that there is" } },
  details: `Environment variables:\n${variablesAsText(variables)}`,
  async run(invocation, surroundings) {
    const [action, ...words] = invocation.words;
    const inner = { ...invocation, words };
    if (action === "show") return show(inner, surroundings);
    if (action === "fingerprint") return fingerprint(inner, surroundings);
    if (action === "create") return create(inner, surroundings);
    throw new WrongUsage(action === undefined ? "show, fingerprint or create?" : `there is no 'cert ${action}'`);
  },
};

/** There is no certificate to show, or one that must not be replaced. */
class CertificateNotAsExpected extends Error {
  override readonly name = "CertificateNotAsExpected";
}

async function show({ words }: Invocation, { stdout, stderr, readEnv }: Surroundings): Promise<number> {
  refuseWords(words);
  const { files, cert, fingerprint, validTo } = await current(readEnv);
  stderr.write(`${files.certFile}\nSHA-256 ${fingerprint}\nvalid until ${validTo.toISOString()}\n`);
  stdout.write(cert);
  return 0;
}

async function fingerprint({ words }: Invocation, { stdout, readEnv }: Surroundings): Promise<number> {
  refuseWords(words);
  stdout.write(`${(await current(readEnv)).fingerprint}\n`);
  return 0;
}

async function create({ words, flags }: Invocation, { stdout, stderr, readEnv }: Surroundings): Promise<number> {
  const { dataDir, given } = await locate(readEnv);
  if (given !== undefined)
    throw new CertificateNotAsExpected(`${given.certFile} is in use, which SSL_CERT_FILE or its default names`);
  const made = makeCertificate(words);
  await openDataDir(dataDir);
  const directory = certificateDir(dataDir);
  if (flags.replace && !(await isVacant(directory))) await replaceKept(directory, made);
  else if (!(await keepCertificate(directory, made)))
    throw new CertificateNotAsExpected(`${directory} holds a certificate already: --replace puts another in its place`);
  stderr.write(`${keptFiles(directory).certFile}\n`);
  stdout.write(`${made.fingerprint}\n`);
  return 0;
}

/** Makes a certificate for this machine, and for names and addresses besides. */
function makeCertificate(besides: readonly string[]): SelfSigned {
  const machine = namesOfMachine(hostname(), networkInterfaces());
  const hostNames = [...new Set([...besides.filter((word) => isIP(word) === 0), ...machine.hostNames])];
  const addresses = [...new Set([...besides.filter((word) => isIP(word) !== 0), ...machine.addresses])];
  try {
    return createSelfSignedCertificate({ hostNames, addresses, now: new Date() });
  } catch (error) {
    if (error instanceof RangeError) throw new WrongUsage(error.message);
    throw error;
  }
}

interface Located {
  readonly dataDir: string;
  /** What the operator looks after. */
  readonly given: CertificateFiles | undefined;
}

async function locate(readEnv: Surroundings["readEnv"]): Promise<Located> {
  const env = await readEnv();
  const values = await readVariables(variables, env);
  return { dataDir: dataDirOf(values, env, processOwner()), given: await certificateFiles(values) };
}

async function current(readEnv: Surroundings["readEnv"]): Promise<Certificate & { files: CertificateFiles }> {
  const { dataDir, given } = await locate(readEnv);
  const directory = certificateDir(dataDir);
  if (given === undefined && (await isVacant(directory)))
    throw new CertificateNotAsExpected(
      `${directory} holds no certificate yet: \`garrison cert create\` makes one, and so does the first start of the node`,
    );
  const files = given ?? keptFiles(directory);
  return { files, ...(await readCertificate(files)) };
}

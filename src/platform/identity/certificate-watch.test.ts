import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createSelfSignedCertificate, fingerprintOf } from "./certificate.ts";
import { type Certificate, keptFiles, replaceKept, UnusableCertificate } from "./certificate-files.ts";
import { type OpenCertificate, openCertificate } from "./certificate-watch.ts";

const names = { hostNames: ["localhost"], addresses: ["127.0.0.1"] };
const made = () => createSelfSignedCertificate({ ...names, now: new Date() });

let root: string;
let changes: Certificate[];
let problems: string[];
const opened: OpenCertificate[] = [];

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "garrison-certificate-"));
  changes = [];
  problems = [];
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((certificate) => certificate.close()));
  await rm(root, { recursive: true });
});

async function open(options: Partial<Parameters<typeof openCertificate>[0]> = {}) {
  const certificate = await openCertificate({
    directory: join(root, "tls"),
    names,
    now: () => new Date(),
    pollMs: 10,
    onChange: (next) => changes.push(next),
    onProblem: (message) => problems.push(message),
    ...options,
  });
  opened.push(certificate);
  return certificate;
}

async function given() {
  const files = { certFile: join(root, "cert.pem"), keyFile: join(root, "key.pem") };
  const pair = made();
  await writeFile(files.certFile, pair.cert);
  await writeFile(files.keyFile, pair.key);
  return { files, pair };
}

describe("a certificate of our own", () => {
  it("is made on first start and the same on the next", async () => {
    const first = await open();
    expect(first.made).toBe(true);
    await first.close();
    const second = await open();
    expect(second.made).toBe(false);
    expect(second.current.fingerprint).toBe(first.current.fingerprint);
    expect(fingerprintOf(await readFile(second.files.certFile))).toBe(first.current.fingerprint);
  });

  it("is for the eyes of its owner only", async () => {
    const { files } = await open();
    const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
    expect(await modeOf(join(root, "tls"))).toBe(0o700);
    expect(await modeOf(files.keyFile)).toBe(0o600);
  });

  it("is one and the same for services that start at once", async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => open()));
    expect(new Set(all.map(({ current }) => current.fingerprint)).size).toBe(1);
    expect(all.filter((certificate) => certificate.made)).toHaveLength(1);
    expect(await readdir(root)).toEqual(["tls"]);
  });

  it("is never replaced silently when half of it is lost", async () => {
    const { files, close } = await open();
    await close();
    await rm(files.keyFile);
    await expect(open()).rejects.toThrow(new RegExp(`cannot read ${files.keyFile}`));
  });

  it("can be replaced on purpose, and a service that runs picks it up", async () => {
    const certificate = await open();
    const next = made();
    await replaceKept(join(root, "tls"), next);
    await vi.waitFor(() => expect(changes.map(({ fingerprint }) => fingerprint)).toEqual([next.fingerprint]));
    expect(certificate.current.fingerprint).toBe(next.fingerprint);
    expect(await readdir(root)).toEqual(["tls"]);
  });
});

describe("a certificate that is given", () => {
  it("is read, and none is made", async () => {
    const { files, pair } = await given();
    const certificate = await open({ files });
    expect(certificate.made).toBe(false);
    expect(certificate.current).toMatchObject({ cert: pair.cert, key: pair.key, fingerprint: pair.fingerprint });
    expect(await readdir(root)).not.toContain("tls");
  });

  it("is picked up when it changes, only when both files belong together", async () => {
    const { files, pair } = await given();
    const certificate = await open({ files });
    const next = made();
    await writeFile(files.certFile, next.cert);
    await vi.waitFor(() => expect(problems).toEqual([expect.stringContaining("is not the key of the certificate")]));
    expect(certificate.current.fingerprint).toBe(pair.fingerprint);
    await writeFile(files.keyFile, next.key);
    await vi.waitFor(() => expect(changes).toHaveLength(1));
    expect(certificate.current.fingerprint).toBe(next.fingerprint);
    expect(problems).toHaveLength(1);
  });

  it("stays when what replaces it is broken, is told once, and recovers", async () => {
    const { files, pair } = await given();
    const certificate = await open({ files });
    await writeFile(files.certFile, pair.cert.slice(0, 200));
    await vi.waitFor(() => expect(problems).toEqual([expect.stringContaining("holds no certificate in PEM")]));
    await rm(files.certFile);
    await vi.waitFor(() => expect(problems).toHaveLength(2));
    await new Promise((done) => setTimeout(done, 50));
    expect(problems).toHaveLength(2);
    expect(certificate.current.fingerprint).toBe(pair.fingerprint);
    const next = made();
    await writeFile(files.keyFile, next.key);
    await writeFile(files.certFile, next.cert);
    await vi.waitFor(() => expect(certificate.current.fingerprint).toBe(next.fingerprint));
  });

  it("is picked up when a link to its directory is swapped, with the same times and sizes", async () => {
    await mkdir(join(root, "a"));
    await mkdir(join(root, "b"));
    const [one, two] = [made(), made()];
    for (const [directory, pair] of [
      ["a", one],
      ["b", two],
    ] as const) {
      await writeFile(join(root, directory, "cert.pem"), pair.cert);
      await writeFile(join(root, directory, "key.pem"), pair.key);
    }
    await symlink("a", join(root, "now"));
    const certificate = await open({ files: keptFiles(join(root, "now")) });
    await symlink("b", join(root, "next"));
    await rename(join(root, "next"), join(root, "now"));
    await vi.waitFor(() => expect(certificate.current.fingerprint).toBe(two.fingerprint));
  });

  it("stays when whoever uses it refuses the next one", async () => {
    const { files, pair } = await given();
    const onChange = () => {
      throw new Error("no such curve");
    };
    const certificate = await open({ files, onChange });
    const next = made();
    await writeFile(files.keyFile, next.key);
    await writeFile(files.certFile, next.cert);
    await vi.waitFor(() => expect(problems.at(-1)).toBe("no such curve"));
    expect(certificate.current.fingerprint).toBe(pair.fingerprint);
  });

  it("is no longer looked at once closed", async () => {
    const { files } = await given();
    const certificate = await open({ files });
    await certificate.close();
    await rm(files.certFile);
    await new Promise((done) => setTimeout(done, 50));
    expect(problems).toEqual([]);
  });

  it.each([
    ["no key at all", "", "holds no private key in PEM without a passphrase"],
    ["a key of another certificate", () => made().key, "is not the key of the certificate"],
  ])("with %s nothing starts", async (_case, key, message) => {
    const { files } = await given();
    await writeFile(files.keyFile, typeof key === "string" ? key : key());
    await expect(open({ files })).rejects.toThrow(message);
    await expect(open({ files })).rejects.toBeInstanceOf(UnusableCertificate);
  });

  it("that cannot be read is named", async () => {
    const { files } = await given();
    await rm(files.keyFile);
    await mkdir(files.keyFile);
    await expect(open({ files })).rejects.toThrow(`cannot read ${files.keyFile}`);
  });
});

import { spawnSync } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { certificateSha256 } from "../../src/platform/identity/authority.ts";
import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";
import { fetchAuthority } from "../../src/platform/identity/pinned-tls.ts";
import { startPostgres, type TestPostgres } from "../postgres.ts";
import { type Call, openPlace, type Place } from "./garrison.ts";

// Each test starts the command several times.
vi.setConfig({ testTimeout: 120_000 });

let place: Place;
let postgres: TestPostgres | undefined;
beforeEach(async () => {
  place = await openPlace();
});
afterEach(async () => {
  await place.close();
  await postgres?.stop();
  postgres = undefined;
});

const fileOf = (name: string, dataDir = place.dataDir) => join(dataDir, "core", name);
const text = (file: string) => readFileSync(file, "utf8").trim();

/** Asks what only operators may, trusting a certificate: the status. */
function ask(url: unknown, ca: string, key: string): string {
  const authorization = `authorization: Bearer ${key}`;
  const args = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", ca, "-H", authorization, `${url}/metrics`];
  const { stdout, stderr } = spawnSync("curl", args, { encoding: "utf8" });
  return stdout + stderr;
}

async function end(call: Call): Promise<void> {
  call.signal("SIGTERM");
  expect(await call.ended).toBe(0);
}

test("Core starts with an authority and an operator's key of its own, which it shows once and keeps", async () => {
  const first = place.call(["core"]);
  const ready = await first.ready();
  expect(ready).toEqual({
    ready: true,
    service: "core",
    url: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/),
    fingerprint: expect.stringMatching(/^[0-9A-F:]{95}$/),
  });
  const key = text(fileOf("admin-key"));
  expect(key).toMatch(/^ok_[\w-]{43}$/);
  expect(first.stderr()).toContain(key);
  for (const name of ["admin-key", "ca.pem", "core.db"]) expect(statSync(fileOf(name)).mode & 0o777).toBe(0o600);
  expect(ask(ready.url, fileOf("ca.pem"), key)).toBe("200");
  expect(ask(ready.url, fileOf("ca.pem"), key.replace(/.$/, "?"))).toBe("401");
  const ca = text(fileOf("ca.pem"));
  const authority = await fetchAuthority(String(ready.url), { caSha256: certificateSha256(ca) });
  expect(authority.trim()).toBe(ca);

  expect(await place.finish(["core"])).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("is in use by process"),
  });
  await end(first);

  const second = place.call(["core"]);
  const { url, fingerprint } = await second.ready();
  expect(fingerprint).not.toBe(ready.fingerprint);
  expect(text(fileOf("ca.pem"))).toBe(ca);
  expect(second.stderr()).not.toContain("ok_");
  expect(ask(url, fileOf("ca.pem"), key)).toBe("200");
  await end(second);
});

test("replicas on one PostgreSQL share the authority and the keys", async () => {
  postgres = await startPostgres();
  const DATABASE_URL = await postgres.createDatabase();
  const otherDir = join(place.directory, "other");
  const one = place.call(["core"], { DATABASE_URL });
  const other = place.call(["core"], { DATABASE_URL, GARRISON_DATA_DIR: otherDir });
  const [ready, otherReady] = await Promise.all([one.ready(), other.ready()]);
  const ca = text(fileOf("ca.pem"));
  expect(text(fileOf("ca.pem", otherDir))).toBe(ca);
  const keys = [one.stderr(), other.stderr()].flatMap((said) => said.match(/ok_[\w-]{43}/g) ?? []);
  expect(keys).toHaveLength(1);
  for (const { url } of [ready, otherReady]) expect(ask(url, fileOf("ca.pem"), keys[0] ?? "")).toBe("200");
  await Promise.all([end(one), end(other)]);
  const third = place.call(["core"], { DATABASE_URL, GARRISON_DATA_DIR: join(place.directory, "third") });
  expect(ask((await third.ready()).url, fileOf("ca.pem"), keys[0] ?? "")).toBe("200");
  await end(third);
});

test("the first operator's key is the one in the file, where there is one", async () => {
  const CORE_ADMIN_KEY_FILE = join(place.directory, "given-key");
  const key = `ok_${"k".repeat(43)}`;
  writeFileSync(CORE_ADMIN_KEY_FILE, `${key}\n`, { mode: 0o600 });
  const core = place.call(["core"], { CORE_ADMIN_KEY_FILE });
  expect(ask((await core.ready()).url, fileOf("ca.pem"), key)).toBe("200");
  expect(core.stderr()).not.toContain("ok_");
  await end(core);
});

test("a file that holds no key is not taken for one, and not quoted", async () => {
  const CORE_ADMIN_KEY_FILE = join(place.directory, "given-key");
  writeFileSync(CORE_ADMIN_KEY_FILE, "correct horse battery staple\n");
  const { code, stderr } = await place.finish(["core"], { CORE_ADMIN_KEY_FILE });
  expect(code).toBe(1);
  expect(stderr).toContain(`${CORE_ADMIN_KEY_FILE} is "corr…" (28 characters): it must hold an API key`);
});

test("a certificate that is given is shown, and no authority is made", async () => {
  const made = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: ["127.0.0.1"], now: new Date() });
  const [SSL_CERT_FILE, SSL_KEY_FILE] = [join(place.directory, "cert.pem"), join(place.directory, "key.pem")];
  writeFileSync(SSL_CERT_FILE, made.cert);
  writeFileSync(SSL_KEY_FILE, made.key);
  const core = place.call(["core"], { SSL_CERT_FILE, SSL_KEY_FILE });
  const { url, fingerprint } = await core.ready();
  expect(fingerprint).toBe(made.fingerprint);
  expect(ask(url, SSL_CERT_FILE, text(fileOf("admin-key")))).toBe("200");
  expect(() => statSync(fileOf("ca.pem"))).toThrow("ENOENT");
  await end(core);
});

test("plain text stays on this machine, unless that is lifted by name", async () => {
  const core = place.call(["core"], { GARRISON_TLS: "off", CORE_HOST: "0.0.0.0" });
  expect(await core.ready()).toMatchObject({
    url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:/),
    fingerprint: null,
  });
  expect(core.stderr()).toContain("TLS is off, so it listens on 127.0.0.1 only; CORE_INSECURE=1 lifts that");
  await end(core);
});

test("wrong settings are told at once, with exit code 2", async () => {
  const { code, stdout, stderr } = await place.finish(["core"], {
    CORE_PORT: "x",
    DATABASE_URL: "mysql://u:secret@db/x",
  });
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
  expect(stderr).toContain('CORE_PORT is "x": it must be a whole number');
  expect(stderr).toContain("DATABASE_URL is");
  expect(stderr).not.toContain("secret");
});

test("a port that is taken is named by its variable", async () => {
  const core = place.call(["core"]);
  const { port } = new URL(String((await core.ready()).url));
  const GARRISON_DATA_DIR = join(place.directory, "other");
  const { code, stderr } = await place.finish(["core"], { CORE_PORT: port, GARRISON_DATA_DIR });
  expect(code).toBe(1);
  expect(stderr).toContain(`CORE_PORT is "${port}": it is taken on 127.0.0.1`);
  await end(core);
});

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { SettingsRefused } from "../platform/config/variables.ts";
import { readCoreSettings } from "./settings.ts";

const owner = { isRoot: false, home: "/home/core" };
const directory = mkdtempSync(join(tmpdir(), "garrison-core-settings-"));
const [certFile, keyFile] = [join(directory, "cert.pem"), join(directory, "key.pem")];
for (const file of [certFile, keyFile]) writeFileSync(file, "");
afterAll(() => rmSync(directory, { recursive: true }));

const read = (env: Record<string, string>) => readCoreSettings(env, owner);

describe("the settings of Core", () => {
  test("without any variable", async () => {
    expect(await read({})).toEqual({
      dataDir: "/home/core/.local/share/garrison",
      tls: true,
      insecure: false,
      corsOrigins: [],
      metricsToken: undefined,
      shortPath: true,
      logLevel: "info",
      host: "0.0.0.0",
      port: 8080,
      publicUrls: [],
      subscriptionUrl: undefined,
      databaseUrl: undefined,
      adminKeyFile: undefined,
      intervals: { heartbeatMs: 15_000, enginePollMs: 10_000, usageMs: 60_000, sessionsMs: 30_000 },
      certificate: undefined,
      notes: [],
    });
  });

  test("with variables", async () => {
    const settings = await read({
      CORE_HOST: "[::]",
      CORE_PORT: "0",
      CORE_PUBLIC_URLS: "https://core.example.org, https://192.0.2.7:8080",
      DATABASE_URL: "postgres://core@db.example.org/garrison",
      CORE_SUBSCRIPTION_URL: "https://links.example.org/x/",
      CORE_ADMIN_KEY_FILE: "/run/secrets/admin-key",
      CORE_HEARTBEAT_MS: "400",
      CORE_ENGINE_POLL_MS: "200",
      CORE_USAGE_MS: "300",
      CORE_SESSIONS_MS: "500",
      CORE_MIN_AGENT_VERSION: "1.4.0",
      SSL_CERT_FILE: certFile,
      SSL_KEY_FILE: keyFile,
    });
    expect(settings).toMatchObject({
      host: "::",
      port: 0,
      publicUrls: ["https://core.example.org", "https://192.0.2.7:8080"],
      databaseUrl: "postgres://core@db.example.org/garrison",
      subscriptionUrl: "https://links.example.org/x",
      adminKeyFile: "/run/secrets/admin-key",
      intervals: { heartbeatMs: 400, enginePollMs: 200, usageMs: 300, sessionsMs: 500 },
      minAgentVersion: "1.4.0",
      certificate: { certFile, keyFile },
    });
  });

  test.each([
    [{ GARRISON_TLS: "off" }, "127.0.0.1", 1],
    [{ GARRISON_TLS: "off", CORE_INSECURE: "true" }, "0.0.0.0", 0],
    [{ GARRISON_TLS: "off", GARRISON_INSECURE: "on" }, "0.0.0.0", 0],
    [{ GARRISON_TLS: "off", CORE_HOST: "127.0.0.2" }, "127.0.0.2", 0],
  ])("%j listens on %s", async (env, host, notes) => {
    const settings = await read(env);
    expect(settings.host).toBe(host);
    expect(settings.notes).toHaveLength(notes);
  });

  test("a certificate without its key is taken for a list of authorities, and that is said", async () => {
    const { certificate, notes } = await read({ SSL_CERT_FILE: certFile });
    expect(certificate).toBeUndefined();
    expect(notes).toEqual([expect.stringContaining("SSL_CERT_FILE is set without SSL_KEY_FILE")]);
  });

  test.each([
    [{ CORE_PORT: "x" }, 'CORE_PORT is "x"'],
    [{ CORE_PUBLIC_URLS: "core.example.org" }, "CORE_PUBLIC_URLS"],
    [
      { CORE_PUBLIC_URLS: "https://core.example.org,http://core.example.org" },
      "http://core.example.org speaks plain text",
    ],
    [{ DATABASE_URL: "mysql://core@db/core" }, "DATABASE_URL"],
    [{ CORE_SUBSCRIPTION_URL: "http://links.example.org" }, "http://links.example.org speaks plain text"],
    [{ SSL_KEY_FILE: keyFile }, "SSL_CERT_FILE is not set"],
  ])("%j is refused", async (env, message) => {
    await expect(read(env)).rejects.toThrow(SettingsRefused);
    await expect(read(env)).rejects.toThrow(message);
  });

  test("plain text that was allowed by name, or stays on the machine, is not refused", async () => {
    const urls = { CORE_PUBLIC_URLS: "http://core.example.org" };
    expect(await read({ ...urls, CORE_INSECURE: "on" })).toMatchObject({ publicUrls: ["http://core.example.org"] });
    expect(await read({ CORE_PUBLIC_URLS: "http://127.0.0.1:8080" })).toMatchObject({ insecure: false });
  });
});

import { describe, expect, test } from "vitest";
import { commonSettings, commonVariables, listenAddress, storeVariables } from "./common.ts";
import type { Env } from "./variables.ts";
import { readVariables } from "./variables.ts";

const user = { isRoot: false, home: "/home/ann" };
const read = async (env: Env, owner = user) => commonSettings(await readVariables(commonVariables, env), env, owner);

test("the defaults are safe: TLS, no origins, no metrics without a credential", async () => {
  expect(await read({})).toEqual({
    dataDir: "/home/ann/.local/share/garrison",
    tls: true,
    insecure: false,
    corsOrigins: [],
    shortPath: true,
    logLevel: "info",
  });
});

test("every setting can be made", async () => {
  const env = {
    GARRISON_DATA_DIR: "/data",
    GARRISON_TLS: "off",
    GARRISON_INSECURE: "1",
    GARRISON_CORS_ORIGINS: "https://a.example,https://b.example",
    METRICS_TOKEN: "abc",
    GARRISON_SHORT_PATH: "off",
    GARRISON_LOG_LEVEL: "warn",
  };
  expect(await read(env)).toEqual({
    dataDir: "/data",
    tls: false,
    insecure: true,
    corsOrigins: ["https://a.example", "https://b.example"],
    metricsToken: "abc",
    shortPath: false,
    logLevel: "warn",
  });
});

test.each([
  [{}, { isRoot: true, home: "/root" }, "/var/lib/garrison"],
  [{ XDG_DATA_HOME: "/xdg" }, user, "/xdg/garrison"],
  [{ XDG_DATA_HOME: "/xdg" }, { isRoot: true, home: "/root" }, "/var/lib/garrison"],
])("data is kept where the owner of the process may: %j %j", async (env, owner, expected) => {
  expect((await read(env, owner)).dataDir).toBe(expected);
});

describe("the address to listen on", () => {
  test.each([
    ["0.0.0.0", true, false, "0.0.0.0"],
    ["::", true, false, "::"],
    ["0.0.0.0", false, false, "127.0.0.1"],
    ["::", false, false, "127.0.0.1"],
    ["192.0.2.7", false, false, "127.0.0.1"],
    ["127.0.0.2", false, false, "127.0.0.2"],
    ["::1", false, false, "::1"],
    ["0.0.0.0", false, true, "0.0.0.0"],
  ])("of %s with TLS %s and insecure %s is %s", (host, tls, insecure, expected) => {
    expect(listenAddress(host, { tls, insecure })).toBe(expected);
  });
});

test("the database's password is not shown when its URL is wrong", async () => {
  const env = { DATABASE_URL: "mysql://garrison:hunter2@127.0.0.1/garrison" };
  const refusal = await readVariables(storeVariables, env).catch(String);
  expect(refusal).toContain('DATABASE_URL is "mysq…" (43 characters): it must be a URL that begins with `postgres://`');
  expect(refusal).not.toContain("hunter2");
});

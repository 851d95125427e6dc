import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadApiKey, parseUuid, UnusableApiKey } from "./api-key.ts";

const text = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";
const bytes = Buffer.from("0b1c2d3e4f5061728394a5b6c7d8e9f0", "hex");
const nil = "00000000-0000-0000-0000-000000000000";

describe("parseUuid", () => {
  it.each([
    text,
    text.toUpperCase(),
    text.replaceAll("-", ""),
    text.replaceAll("-", "").toUpperCase(),
    `{${text}}`,
    `(${text}]`,
    `urn:uuid:${text}`,
    `URN:UUID:${text.toUpperCase()}`,
  ])("reads %s", (spelling) => {
    expect(Buffer.from(parseUuid(spelling) ?? [])).toEqual(bytes);
  });

  it.each([
    "",
    "abc",
    text.slice(1),
    `${text}0`,
    text.replace("-", ""),
    text.replace("-", "_"),
    text.replace("b", "g"),
    `urn:uui:${text}`,
    `{{${text}}}`,
    `${text.slice(0, 35)}é`,
    `${text}\n`,
  ])("refuses %j", (spelling) => {
    expect(parseUuid(spelling)).toBeUndefined();
  });
});

describe("loadApiKey", () => {
  let dataDir: string;
  beforeEach(async () => {
    dataDir = await mkdtemp(join(tmpdir(), "garrison-key-"));
  });
  afterEach(() => rm(dataDir, { recursive: true }));
  const kept = () => join(dataDir, "api-key");

  it("takes the configured key, and keeps nothing", async () => {
    const loaded = await loadApiKey({ configured: ` {${text}} `, dataDir });
    expect(loaded).toEqual({ key: bytes });
    expect(await readdir(dataDir)).toEqual([]);
  });

  it("makes a key where none is configured, shows it once, and keeps it 0600", async () => {
    const first = await loadApiKey({ configured: undefined, dataDir, makeUuid: () => text });
    expect(first).toEqual({ key: bytes, made: text });
    expect((await stat(kept())).mode & 0o777).toBe(0o600);
    const second = await loadApiKey({ configured: " ", dataDir });
    expect(second).toEqual({ key: bytes });
    expect(await readdir(dataDir)).toEqual(["api-key"]);
  });

  it("makes the data directory 0700", async () => {
    const inner = join(dataDir, "a", "b");
    await loadApiKey({ configured: undefined, dataDir: inner });
    expect((await stat(inner)).mode & 0o777).toBe(0o700);
  });

  it("makes one key when two processes start at once", async () => {
    const loaded = await Promise.all([1, 2, 3].map(() => loadApiKey({ configured: undefined, dataDir })));
    expect(new Set(loaded.map(({ key }) => Buffer.from(key).toString("hex"))).size).toBe(1);
    expect(loaded.filter(({ made }) => made !== undefined)).toHaveLength(1);
    expect(await readdir(dataDir)).toEqual(["api-key"]);
  });

  it("closes a kept key that others could read", async () => {
    await writeFile(kept(), `${text}\n`, { mode: 0o644 });
    expect(await loadApiKey({ configured: undefined, dataDir })).toEqual({ key: bytes });
    expect((await stat(kept())).mode & 0o777).toBe(0o600);
  });

  it.each([
    ["abc", "must be a random UUID"],
    [nil, "nil UUID"],
    [nil.replaceAll("-", ""), "nil UUID"],
  ])("refuses API_KEY %s, naming the variable and the remedy", async (configured, why) => {
    const refused = await loadApiKey({ configured, dataDir }).catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(UnusableApiKey);
    expect(String(refused)).toMatch(/^UnusableApiKey: API_KEY is "/);
    expect(String(refused)).toContain(why);
    expect(String(refused)).toContain("leave it out and the node makes one");
  });

  it("refuses a kept key that is torn, and leaves it", async () => {
    await writeFile(kept(), text.slice(0, 9));
    await expect(loadApiKey({ configured: undefined, dataDir })).rejects.toThrow(
      `${kept()} is "0b…" (9 characters): it must be`,
    );
    expect(await readFile(kept(), "utf8")).toBe(text.slice(0, 9));
  });
});

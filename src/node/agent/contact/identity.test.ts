import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { installIdAt, keepIdentity, readIdentity } from "./identity.ts";

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-identity-"));
  file = join(directory, "identity.json");
});
afterEach(() => rm(directory, { recursive: true }));

const identity = {
  ...{ nodeId: 7, authKey: "nk_1_secret", urls: ["https://core.example.org"], authority: "PEM", installId: "id" },
};

test("what is kept is read again, and for the eyes of this user only", async () => {
  expect(await readIdentity(file)).toBeUndefined();
  await keepIdentity(file, identity);
  expect(await readIdentity(file)).toEqual(identity);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test("an authority may be absent", async () => {
  await keepIdentity(file, { ...identity, authority: undefined });
  expect(await readIdentity(file)).toEqual({ ...identity, authority: undefined });
});

test.each(["", "{", "[]", '{"nodeId":7}', JSON.stringify({ ...identity, urls: [7] })])(
  "a file that is none is not taken for a node that was not enrolled: %s",
  async (text) => {
    await writeFile(file, text);
    await expect(readIdentity(file)).rejects.toThrow(`${file} cannot be read`);
  },
);

test("the id of an installation is made once", async () => {
  const path = join(directory, "install-id");
  const made = await installIdAt(path);
  expect(made).toMatch(/^[0-9a-f-]{36}$/);
  expect(await installIdAt(path)).toBe(made);
});

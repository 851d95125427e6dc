import { expect, test } from "vitest";
import { hidden, restoreSecrets, withoutSecrets } from "./secrets.ts";

const settings = {
  settings: { decryption: "none", password: "p", clients: [{ id: "u", email: "1.u" }] },
  streamSettings: {
    realitySettings: { privateKey: "k", serverNames: ["example.org"] },
    tlsSettings: { certificates: [{ certificateFile: "/a", key: ["-----BEGIN", "x"] }] },
  },
};

test("what must not be read is hidden, wherever it stands, and nothing else", () => {
  expect(withoutSecrets(settings)).toEqual({
    settings: { decryption: "none", password: hidden, clients: [{ id: hidden, email: "1.u" }] },
    streamSettings: {
      realitySettings: { privateKey: hidden, serverNames: ["example.org"] },
      tlsSettings: { certificates: [{ certificateFile: "/a", key: hidden }] },
    },
  });
});

test("what is sent back hidden stays what it was", () => {
  const shown = withoutSecrets(settings) as typeof settings;
  expect(restoreSecrets(shown, settings)).toEqual({ value: settings, missing: [] });
  shown.settings.password = "new";
  expect(restoreSecrets(shown, settings).value).toMatchObject({ settings: { password: "new" } });
});

test("what is hidden where there was nothing is told", () => {
  expect(restoreSecrets({ a: { password: hidden }, toString: hidden }, {}).missing).toEqual(["a.password", "toString"]);
  expect(restoreSecrets({ list: [{ key: hidden }] }, { list: [] }).missing).toEqual(["list[0].key"]);
});

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

test("elements of lists keep their own secrets when others come and go", () => {
  const kept = {
    users: [
      { user: "a", pass: "1" },
      { user: "b", pass: "2" },
    ],
  };
  const [a, b] = [
    { user: "a", pass: hidden },
    { user: "b", pass: hidden },
  ];
  expect(restoreSecrets({ users: [b] }, kept).value).toEqual({ users: [{ user: "b", pass: "2" }] });
  expect(restoreSecrets({ users: [b, a] }, kept).value).toEqual({ users: kept.users.toReversed() });
  expect(restoreSecrets({ users: [a, { ...b, level: 1 }] }, kept).value).toMatchObject({ users: [{}, { pass: "2" }] });
  expect(restoreSecrets({ users: [{ ...b, level: 1 }] }, kept).missing).toEqual(["users[0].pass"]);
});

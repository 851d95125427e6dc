import { expect, test } from "vitest";
import { readVariables } from "../../platform/config/variables.ts";
import { makeEnrolmentSecret, writeEnrolmentCode } from "../../platform/identity/enrolment-code.ts";
import { agentSettings, agentVariables } from "./agent-variables.ts";

const settingsOf = async (env: Record<string, string>) => agentSettings(await readVariables(agentVariables, env));
const secret = makeEnrolmentSecret();
const caSha256 = "ab".repeat(32);
const code = (url: string) => writeEnrolmentCode({ secret, urls: [url], caSha256 });

test("without a word of Core nothing drives the node but its own API", async () => {
  expect(await settingsOf({ CORE_INSECURE: "on" })).toBeUndefined();
});

test("the code says where Core is, and CORE_URL says it better", async () => {
  const url = "https://core.example.org";
  expect(await settingsOf({ CORE_ENROLMENT_CODE: code(url) })).toEqual({
    urls: [],
    enrolment: { urls: [url], secret, caSha256 },
  });
  const named = await settingsOf({
    CORE_ENROLMENT_CODE: code(url),
    CORE_URL: "https://a.example,https://b.example:8443/",
  });
  expect(named).toEqual({
    urls: ["https://a.example", "https://b.example:8443"],
    enrolment: { urls: ["https://a.example", "https://b.example:8443"], secret, caSha256 },
  });
});

test("a node that is enrolled needs no code", async () => {
  expect(await settingsOf({ CORE_URL: "https://core.example.org" })).toMatchObject({ enrolment: undefined });
});

test("plain text to other machines is refused unless it is asked for", async () => {
  const plain = "http://core.example.org:8080";
  await expect(settingsOf({ CORE_URL: plain })).rejects.toThrow(/CORE_URL .*plain text/);
  await expect(settingsOf({ CORE_ENROLMENT_CODE: code(plain) })).rejects.toThrow(/plain text/);
  expect(await settingsOf({ CORE_URL: plain, CORE_INSECURE: "on" })).toMatchObject({ urls: [plain] });
  expect(await settingsOf({ CORE_URL: "http://127.0.0.1:8080" })).toBeDefined();
});

test("a code that is cut is refused, and not shown", async () => {
  const cut = code("https://core.example.org").slice(0, -3);
  const refusal = await settingsOf({ CORE_ENROLMENT_CODE: cut }).catch((error: unknown) => String(error));
  expect(refusal).toContain("CORE_ENROLMENT_CODE cannot be used");
  expect(refusal).not.toContain(cut.slice(4, 20));
});

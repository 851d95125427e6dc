import type { RequestListener } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { startMirror } from "../../../test/install/mirror.ts";
import { latestVersion } from "./core-version.ts";

const { signal } = new AbortController();
const redirect =
  (location: string): RequestListener =>
  (_, response) =>
    response.writeHead(302, { location }).end("moved");

async function mirrorOf(answer: RequestListener) {
  const mirror = await startMirror(answer);
  onTestFinished(() => mirror.close());
  return mirror;
}

test.each<[string, RequestListener]>([
  ["a text with its tag", (_, response) => response.end("v26.9.9\n")],
  ["a text with its number", (_, response) => response.end("26.9.9")],
  ["a redirect to its page", redirect("https://example.org/releases/tag/v26.9.9")],
  ["a redirect with a query", redirect("/tag/v26.9.9?from=latest")],
])("the latest version is known by %s", async (_, answer) => {
  const mirror = await mirrorOf(answer);
  expect(await latestVersion({ mirror: `${mirror.url}/xray`, signal })).toBe("26.9.9");
  expect(mirror.requests).toEqual(["/xray/latest"]);
});

test("a mirror like GitHub's is asked where GitHub is", async () => {
  const mirror = await mirrorOf(redirect("tag/v26.9.9"));
  expect(await latestVersion({ mirror: `${mirror.url}/xray/releases/download`, signal })).toBe("26.9.9");
  expect(mirror.requests).toEqual(["/xray/releases/latest"]);
});

test.each<[string, RequestListener, string]>([
  ["a page", (_, response) => response.end("<html>".repeat(100_000)), "does not tell what is the latest"],
  ["a redirect to nowhere", redirect("https://example.org/login"), "does not tell what is the latest"],
  ["an error", (_, response) => response.writeHead(404).end("v26.9.9"), "/latest: HTTP status 404"],
  ["nothing for too long", () => undefined, "/latest: "],
])("%s is no version", async (_, answer, text) => {
  const { url: mirror } = await mirrorOf(answer);
  await expect(latestVersion({ mirror, signal, timeoutMs: 300 })).rejects.toThrow(text);
});

test("one archive does not tell", async () => {
  await expect(latestVersion({ mirror: "https://example.org/x.zip", signal })).rejects.toThrow("is one archive");
});

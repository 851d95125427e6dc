import { once } from "node:events";
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { createServer as createHttpsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";
import { fakeXray, type Mirror, releaseArchive, sha256, startMirror } from "../install/mirror.ts";
import { openPlace, type Place } from "./garrison.ts";

const digest = sha256(releaseArchive);

let place: Place;
let mirror: Mirror;
beforeEach(async () => {
  place = await openPlace();
  mirror = await startMirror((_, response) => response.end(releaseArchive));
});
afterEach(async () => {
  await mirror.close();
  await place.close();
});

const cache = () => join(place.directory, ".cache/garrison");
const installed = () => join(cache(), "engines/xray/26.3.27/xray");
const install = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
  place.finish(["engines", "install", "xray", "--force", ...args], { GARRISON_XRAY_MIRROR: mirror.url, ...env });

describe("garrison engines install", () => {
  test("prints the path of the program on stdout, and how far it is on stderr", async () => {
    const { code, stdout, stderr } = await install(["--sha256", digest]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `${installed()}\n` });
    expect(stderr.split("\n")).toEqual([
      expect.stringMatching(/^downloading http:\/\/127\.0\.0\.1:\d+\/v26\.3\.27\/Xray-/),
      "the SHA-256 is right; unpacking 0.0 MiB",
      `xray 26.3.27 is installed: ${installed()}`,
      "",
    ]);
  });

  test("uses what is installed", async () => {
    await install(["--sha256", digest]);
    const again = await place.finish(["engines", "install", "xray"], { GARRISON_XRAY_MIRROR: mirror.url });
    expect(again).toEqual({ code: 0, stdout: `${installed()}\n`, stderr: "xray 26.3.27 is installed already\n" });
    expect(mirror.requests).toHaveLength(1);
  });

  test("puts it where GARRISON_CACHE_DIR says", async () => {
    const { stdout } = await install(["--sha256", digest], { GARRISON_CACHE_DIR: join(place.directory, "c") });
    expect(stdout).toBe(`${join(place.directory, "c/engines/xray/26.3.27/xray")}\n`);
  });

  test("refuses an archive that has no digest to be checked with", async () => {
    const { code, stdout, stderr } = await install([]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^garrison engines: no SHA-256 is pinned for Xray-.*: pass --sha256/);
    expect(mirror.requests).toEqual([]);
  });

  test("refuses an archive with another digest, in words and without a stack", async () => {
    const { code, stdout, stderr } = await install(["--sha256", "0".repeat(64)]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/\ngarrison engines: http.* has the SHA-256 [0-9a-f]{64}, but it should be 0{64}\n$/);
    expect(await readdir(join(cache(), "engines/xray"))).toEqual([]);
  });

  test("refuses a mirror that is none", async () => {
    const { code, stderr } = await install([], { GARRISON_XRAY_MIRROR: "ftp://mirror" });
    expect(code).toBe(2);
    expect(stderr).toContain('GARRISON_XRAY_MIRROR is "ftp://mirror": it must be a URL that begins with `https://`');
  });

  test("does not follow a redirect from https to http", async () => {
    const { cert, key } = createSelfSignedCertificate({ hostNames: [], addresses: ["127.0.0.1"], now: new Date() });
    const authorities = join(place.directory, "ca.pem");
    await writeFile(authorities, cert);
    const secure = createHttpsServer({ cert, key }, (_, response) =>
      response.writeHead(302, { location: `${mirror.url}/x.zip` }).end(),
    ).listen(0, "127.0.0.1");
    await once(secure, "listening");
    const url = `https://127.0.0.1:${(secure.address() as AddressInfo).port}`;
    const env = { GARRISON_XRAY_MIRROR: url, NODE_EXTRA_CA_CERTS: authorities };
    const { code, stderr } = await install(["--sha256", digest], env);
    secure.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`refused to follow the redirect to ${mirror.url}/x.zip`);
    expect(mirror.requests).toEqual([]);
  });

  test("ends at SIGINT, and leaves nothing half-installed", async () => {
    const slow = await startMirror((_, response) => response.write("PK"));
    const call = place.call(["engines", "install", "xray", "--force", "--sha256", digest], {
      GARRISON_XRAY_MIRROR: slow.url,
    });
    await vi.waitFor(() => expect(slow.requests).toHaveLength(1), 10_000);
    call.signal("SIGINT");
    expect(await call.ended).toBe(1);
    await slow.close();
    expect(call.stderr()).toContain("garrison engines: ended by SIGINT\n");
    expect(await readdir(join(cache(), "engines/xray"))).toEqual([]);
  });

  test("survives two at once", async () => {
    const both = await Promise.all([install(["--sha256", digest]), install(["--sha256", digest])]);
    expect(both.map(({ code, stdout }) => ({ code, stdout }))).toEqual(
      Array(2).fill({ code: 0, stdout: `${installed()}\n` }),
    );
    expect(await readdir(join(cache(), "engines/xray"))).toEqual(["26.3.27"]);
  });
});

test("garrison engines list tells what is installed, what is not, and what does not run", async () => {
  const bin = join(place.directory, "bin");
  await mkdir(bin);
  await writeFile(join(bin, "my-xray"), fakeXray);
  await writeFile(join(bin, "sing-box"), "\x7fELF");
  for (const name of ["my-xray", "sing-box"]) await chmod(join(bin, name), 0o755);
  const xray = { XRAY_EXECUTABLE_PATH: join(bin, "my-xray") };
  const { stdout } = await place.finish(["engines", "list"], { ...xray, PATH: "/usr/bin:/bin" });
  expect(stdout.split("\n")).toEqual([
    `xray       26.3.27       ${join(bin, "my-xray")}`,
    "wireguard  not installed (garrison engines install wireguard brings 0.0.20250522)",
    "sing-box   not installed (garrison engines install sing-box brings 1.14.1)",
    "mihomo     not installed (garrison engines install mihomo brings 1.19.23)",
    "",
  ]);
  const broken = await place.finish(["engines", "list"], { ...xray, PATH: `${bin}:/usr/bin:/bin` });
  expect(broken.stdout).toMatch(/^sing-box {3}unusable {2}.*\/bin\/sing-box cannot be run/m);
});

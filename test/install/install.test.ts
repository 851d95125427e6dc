import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DownloadFailed } from "../../src/node/engines/install/download.ts";
import { type InstallOptions, InstallRefused, installEngine } from "../../src/node/engines/install/install.ts";
import { findXray, findXrayAssets } from "../../src/node/engines/install/locate.ts";
import { pinnedEngines } from "../../src/node/engines/install/pinned.ts";
import { ArchiveRefused } from "../../src/node/engines/install/unpack.ts";
import { NotThisEngine } from "../../src/node/engines/install/version.ts";
import { fakeXray, type Mirror, releaseArchive, sha256, startMirror } from "./mirror.ts";
import { type ZipEntry, zip } from "./zip.ts";

const archivePath = "/v26.3.27/Xray-linux-64.zip";
const program: ZipEntry = { name: "xray", data: fakeXray, mode: 0o100755 };

let cacheDir = "";
let mirror: Mirror | undefined;
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "garrison-install-"));
});
afterEach(async () => {
  await mirror?.close();
  mirror = undefined;
  await rm(cacheDir, { recursive: true });
});

const target = () => join(cacheDir, "engines/xray/26.3.27/xray");
const notes: string[] = [];

function install(options: Partial<InstallOptions> = {}) {
  notes.length = 0;
  return installEngine({
    engine: pinnedEngines.xray,
    cacheDir,
    env: { PATH: "/usr/bin:/bin" },
    platform: "linux-x64",
    force: true, // whatever this machine has installed
    signal: new AbortController().signal,
    progress: { note: (text) => notes.push(text), update: () => undefined },
    ...options,
  });
}

/** Installs from a mirror that answers every request alike. */
async function installFrom(answer: RequestListener, options: Partial<InstallOptions> = {}) {
  mirror = await startMirror(answer);
  return install({ mirror: mirror.url, sha256: sha256(releaseArchive), ...options });
}

/** Installs an archive whose digest is right. */
function installArchive(archive: Buffer) {
  return installFrom((_, response) => response.end(archive), { sha256: sha256(archive) });
}

/** What is in the cache, drafts included. */
async function remains(): Promise<string[]> {
  const names = await readdir(cacheDir, { recursive: true, withFileTypes: true });
  return names.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
}

describe("a release archive", () => {
  test("with the right digest is installed, executable, with its geodata and nothing else", async () => {
    const installed = await installFrom((_, response) => response.end(releaseArchive));
    expect(installed).toEqual({ path: target(), version: "26.3.27", found: false });
    expect(mirror?.requests).toEqual([archivePath]);
    expect(await readFile(target(), "utf8")).toBe(fakeXray);
    expect((await stat(target())).mode & 0o777).toBe(0o755);
    expect((await remains()).sort()).toEqual(["geoip.dat", "geosite.dat", "xray"]);
    expect(await readdir(join(cacheDir, "engines/xray"))).toEqual(["26.3.27"]);
    expect(await findXray({ env: {}, cacheDir })).toBe(target());
    expect(await findXrayAssets(target())).toBe(join(cacheDir, "engines/xray/26.3.27"));
  });

  test("may be named by its own URL, and its digest be written in upper case", async () => {
    mirror = await startMirror((_, response) => response.end(releaseArchive));
    await install({ mirror: `${mirror.url}/mine.zip`, sha256: sha256(releaseArchive).toUpperCase() });
    expect(mirror.requests).toEqual(["/mine.zip"]);
  });

  test("is not even downloaded without a digest", async () => {
    const installing = installFrom((_, response) => response.end(releaseArchive), { sha256: undefined });
    await expect(installing).rejects.toThrow(InstallRefused);
    await expect(installing).rejects.toThrow(/no SHA-256 is pinned for Xray-linux-64\.zip .* --sha256/);
    expect(mirror?.requests).toEqual([]);
  });

  test("with another digest is refused", async () => {
    const installing = installFrom((_, response) => response.end(releaseArchive), { sha256: "0".repeat(64) });
    await expect(installing).rejects.toThrow(ArchiveRefused);
    await expect(installing).rejects.toThrow(`has the SHA-256 ${sha256(releaseArchive)}, but it should be 0000`);
    expect(await remains()).toEqual([]);
  });

  test("with a pinned digest needs no other, and a wrong one does not make Go build instead", async () => {
    mirror = await startMirror((_, response) => response.end(releaseArchive));
    const { release } = pinnedEngines.xray;
    if (release === undefined) throw new Error("Xray has releases");
    const pinned = (digest: string) => ({
      ...pinnedEngines.xray,
      release: {
        ...release,
        mirror: mirror?.url ?? "",
        archives: { "linux-x64": { name: "a.zip", sha256: digest } },
      },
    });
    await expect(install({ engine: pinned("1".repeat(64)) })).rejects.toThrow(ArchiveRefused);
    expect((await install({ engine: pinned(sha256(releaseArchive)) })).path).toBe(target());
  });

  test("that does not exist for this kind of machine is told so", async () => {
    await expect(install({ platform: "sunos-sparc", from: "archive" })).rejects.toThrow(
      "xray has no release archive for sunos-sparc",
    );
  });
});

describe("a download", () => {
  test("that ends early is refused", async () => {
    const installing = installFrom((_, response) => {
      response.setHeader("content-length", releaseArchive.length);
      response.write(releaseArchive.subarray(0, 100));
      setTimeout(() => response.destroy(), 50);
    });
    await expect(installing).rejects.toThrow(DownloadFailed);
    await expect(installing).rejects.toThrow(/Xray-linux-64\.zip: ended after 100 bytes: /);
    expect(await remains()).toEqual([]);
  });

  test("that ends early without having said how long it is has the wrong digest", async () => {
    const installing = installFrom((_, response) => response.end(releaseArchive.subarray(0, 100)));
    await expect(installing).rejects.toThrow(ArchiveRefused);
    expect(await remains()).toEqual([]);
  });

  test.each([404, 500, 304])("that is answered with HTTP status %i fails", async (status) => {
    const installing = installFrom((_, response) => response.writeHead(status).end());
    await expect(installing).rejects.toThrow(new RegExp(`/Xray-linux-64\\.zip: HTTP status ${status}$`));
  });

  test("from a host that nobody listens on fails with the reason", async () => {
    mirror = await startMirror(() => undefined);
    const { url } = mirror;
    await mirror.close();
    await expect(install({ mirror: url, sha256: sha256(releaseArchive) })).rejects.toThrow(/zip: .*ECONNREFUSED/);
  });

  test("follows redirects, relative ones too", async () => {
    await installFrom((request, response) => {
      if (request.url === archivePath) response.writeHead(302, { location: "../files/1" }).end();
      else if (request.url === "/files/1") response.writeHead(307, { location: `${mirror?.url}/files/2` }).end();
      else response.end(releaseArchive);
    });
    expect(mirror?.requests).toEqual([archivePath, "/files/1", "/files/2"]);
  });

  test("follows five redirects and not one more", async () => {
    await expect(installFrom((_, response) => response.writeHead(302, { location: "/again" }).end())).rejects.toThrow(
      "more than 5 redirects",
    );
    expect(mirror?.requests).toHaveLength(6);
  });

  test.each(["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[", "data:,x"])(
    "does not follow a redirect to %s",
    async (location) => {
      const installing = installFrom((_, response) => response.writeHead(302, { location }).end());
      await expect(installing).rejects.toThrow(`refused to follow the redirect to ${location}`);
    },
  );

  test("that announces more than the limit is refused before it is read", async () => {
    const installing = installFrom(
      (_, response) => response.writeHead(200, { "content-length": 2_000_000 }).write("x"),
      {
        maxArchiveBytes: 1_048_576,
      },
    );
    await expect(installing).rejects.toThrow("larger than the limit of 1.0 MiB");
  });

  test("that brings more than the limit without announcing it is cut off", async () => {
    const installing = installFrom(
      (_, response) => {
        const more = () => {
          while (!response.destroyed && response.write(Buffer.alloc(65_536)));
        };
        response.on("drain", more);
        more();
      },
      { maxArchiveBytes: 1_048_576 },
    );
    await expect(installing).rejects.toThrow("larger than the limit of 1.0 MiB");
    expect(await remains()).toEqual([]);
  });

  test("is abandoned when the user leaves, and leaves nothing behind", async () => {
    const leaving = new AbortController();
    const installing = installFrom(
      (_, response) => {
        response.write("x");
        setTimeout(() => leaving.abort(new Error("interrupted")), 50);
      },
      { signal: leaving.signal },
    );
    await expect(installing).rejects.toThrow("interrupted");
    expect(await remains()).toEqual([]);
  });
});

describe("an archive is refused, and nothing of it stays, when", () => {
  const bomb = Buffer.alloc(1_000_000);
  const cases: [string, Buffer, RegExp][] = [
    [
      "a name leads out of the directory",
      zip(program, { name: "../xray", data: "x" }),
      /invalid relative path: \.\.\/xray/,
    ],
    ["a name leads out further down", zip(program, { name: "a/../../b", data: "x" }), /invalid relative path/],
    [
      "a name leads out with backslashes",
      zip(program, { name: "..\\b", data: "x" }),
      /invalid characters|relative path/,
    ],
    ["a name is absolute", zip(program, { name: "/etc/cron.d/x", data: "x" }), /absolute path: \/etc\/cron\.d\/x/],
    ["a name is absolute on Windows", zip(program, { name: "C:/x", data: "x" }), /absolute path/],
    ["the program is a link", zip({ ...program, data: "/bin/sh", mode: 0o120777 }), /"xray" is neither a file nor a/],
    ["another entry is a link", zip(program, { name: "l", data: "/", mode: 0o120777 }), /"l" is neither a file nor a/],
    ["an entry is a device", zip(program, { name: "d", data: "", mode: 0o020666 }), /"d" is neither a file nor a/],
    [
      "an entry claims to be huge",
      zip({ ...program, claimedSize: 3e8 }),
      /xray is larger than the limit of 256\.0 MiB/,
    ],
    [
      "an entry is larger than it claims",
      zip({ ...program, data: bomb, claimedSize: 9 }),
      /too many bytes in the stream/,
    ],
    ["an entry is smaller than it claims", zip({ ...program, claimedSize: 999 }), /not enough bytes in the stream/],
    ["the program is missing", zip({ name: "bin/xray", data: fakeXray }), /it has no xray/],
    ["the program is there twice", zip(program, program), /EEXIST/],
    [
      "it has a thousand entries",
      zip(...Array.from({ length: 1_001 }, (_, i) => ({ name: `${i}`, data: "" }))),
      /1001/,
    ],
    ["it is no zip", Buffer.from("<html>not found</html>"), /end of central directory record signature not found/i],
    ["it is cut in the middle", releaseArchive.subarray(0, releaseArchive.length - 60), /central directory/i],
  ];
  test.each(cases)("%s", async (_, archive, reason) => {
    const installing = installArchive(archive);
    await expect(installing).rejects.toThrow(ArchiveRefused);
    await expect(installing).rejects.toThrow(reason);
    expect(await remains()).toEqual([]);
  });

  test.each([
    ["its program is another version", "#!/bin/sh\necho 'Xray 1.8.0'\n", "it is xray 1.8.0, but 26.3.27 is pinned"],
    ["its program is something else", "#!/bin/sh\necho hello\n", 'is not xray: it says "hello\\n"'],
    ["its program cannot be run", "\x7fELF", "cannot be run"],
  ])("%s", async (_, data, reason) => {
    const installing = installArchive(zip({ ...program, data }));
    await expect(installing).rejects.toThrow(NotThisEngine);
    await expect(installing).rejects.toThrow(reason);
    expect(await remains()).toEqual([]);
  });
});

describe("what is installed", () => {
  test("is used, and nothing is asked of any mirror", async () => {
    await installFrom((_, response) => response.end(releaseArchive));
    const again = await install({ mirror: mirror?.url ?? "", force: false });
    expect(again).toEqual({ path: target(), version: "26.3.27", found: true });
    expect(mirror?.requests).toHaveLength(1);
  });

  test("is replaced when that is asked for", async () => {
    await installFrom((_, response) => response.end(releaseArchive));
    await install({ mirror: mirror?.url ?? "", sha256: sha256(releaseArchive) });
    expect(mirror?.requests).toHaveLength(2);
    expect(await findXray({ env: {}, cacheDir })).toBe(target());
  });

  test("is replaced when it does not run", async () => {
    await mkdir(join(target(), ".."), { recursive: true });
    await writeFile(target(), "\x7fELF");
    await chmod(target(), 0o755);
    await installFrom((_, response) => response.end(releaseArchive), { force: false });
    expect(notes[0]).toContain("cannot be run");
    expect(await readFile(target(), "utf8")).toBe(fakeXray);
  });

  test("survives two installations at once, which both succeed", async () => {
    mirror = await startMirror((_, response) => response.end(releaseArchive));
    const options = { mirror: mirror.url, sha256: sha256(releaseArchive) };
    const both = await Promise.all([install(options), install(options)]);
    expect(both.map(({ path }) => path)).toEqual([target(), target()]);
    expect((await remains()).sort()).toEqual(["geoip.dat", "geosite.dat", "xray"]);
  });

  test("is cleared of what killed installations left a day ago, and of nothing younger", async () => {
    const drafts = join(cacheDir, "engines/xray");
    await mkdir(join(drafts, ".draft-old"), { recursive: true });
    await mkdir(join(drafts, ".draft-young"));
    const dayAgo = Date.now() / 1_000 - 25 * 3_600;
    await utimes(join(drafts, ".draft-old"), dayAgo, dayAgo);
    await installFrom((_, response) => response.end(releaseArchive));
    expect((await readdir(drafts)).sort()).toEqual([".draft-young", "26.3.27"]);
  });
});

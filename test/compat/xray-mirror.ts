import type { RequestListener } from "node:http";
import { onTestFinished } from "vitest";
import { pinnedEngines } from "../../src/node/engines/install/pinned.ts";
import { type Mirror, sha256, startMirror } from "../install/mirror.ts";
import { zip } from "../install/zip.ts";
import { xrayPath } from "../xray-path.ts";

const realXray = await xrayPath();
const archiveName = pinnedEngines.xray.release?.archives[`${process.platform}-${process.arch}`]?.name;

/** A release archive whose program says it has a version, does what a script says, and then is the real Xray. */
export function xrayRelease(version: string, script = ""): Buffer {
  const lines = [
    "#!/bin/sh",
    `[ "$1" = version ] && { echo "Xray ${version} (made for a test)"; exit; }`,
    script,
    `XRAY_MARK=${version} exec '${realXray}' "$@"`,
  ];
  return zip({ name: "xray", data: lines.join("\n"), mode: 0o100755 });
}

/** What a mirror does besides. */
interface XrayMirrorOptions {
  /** Stands beside every archive instead of its digest. */
  readonly digest?: string;
  /** The rest of an archive comes when this resolves. */
  readonly hold?: Promise<void>;
}

/** A mirror with releases by version, of which the last is the latest; it ends with the test. */
export async function startXrayMirror(
  releases: Record<string, Buffer>,
  { digest, hold }: XrayMirrorOptions = {},
): Promise<Mirror> {
  const answer: RequestListener = async ({ url = "" }, response) => {
    if (url === "/latest") return response.end(`v${Object.keys(releases).at(-1)}\n`);
    const [, version = "", name = ""] = /^\/v([\d.]+)\/(.*)$/.exec(url) ?? [];
    const archive = releases[version];
    if (archive !== undefined && name === archiveName) {
      response.write(archive.subarray(0, 20));
      await hold;
      return response.end(archive.subarray(20));
    }
    if (archive !== undefined && name === `${archiveName}.dgst`)
      return response.end(`MD5= 0\nSHA2-256= ${digest ?? sha256(archive)}\n`);
    return response.writeHead(404).end();
  };
  const mirror = await startMirror((request, response) => void answer(request, response));
  onTestFinished(() => mirror.close());
  return mirror;
}

import { createHash } from "node:crypto";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { zip } from "./zip.ts";

/** A mirror of release archives on this machine. */
export interface Mirror {
  readonly url: string;
  /** The paths that were asked for, in order. */
  readonly requests: readonly string[];
  close(): Promise<void>;
}

/** Starts a mirror that answers as `answer` says. */
export async function startMirror(answer: RequestListener): Promise<Mirror> {
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(request.url ?? "");
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** A program that says it is the pinned Xray. */
export const fakeXray = "#!/bin/sh\necho 'Xray 26.3.27 (made for a test)'\n";

/** An archive as the project of Xray publishes them. */
export const releaseArchive = zip(
  { name: "xray", data: fakeXray, mode: 0o100755 },
  { name: "geoip.dat", data: "addresses" },
  { name: "geosite.dat", data: "names" },
  { name: "README.md", data: "words" },
);

/** The SHA-256 of bytes, lower-case hex. */
export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

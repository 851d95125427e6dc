import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { files, image } from "./buf.ts";

// The baseline is the contract that callers may rely on, as an image. It changes only together with a line in the
// changelog: the newest line of its section "Contract" begins with the baseline's digest, so that whoever reviews the
// binary reads the reason, and a baseline that changes alone does not fit its line.

/** Where the baseline lies. */
export const baselinePath = "proto/baseline.binpb";

/** What marks a line of the changelog that breaks callers. */
export const breakingMark = "**Breaking:**";

/** A line of the changelog about the contract. */
export interface ContractLine {
  /** The digest of the baseline that came with it. */
  digest: string;
  text: string;
  /** Callers break. */
  breaking: boolean;
}

/** The name of a baseline in the changelog: the first 16 hex digits of its SHA-256. */
export function digestOf(baseline: Uint8Array): string {
  return createHash("sha256").update(baseline).digest("hex").slice(0, 16);
}

/** The changelog's lines about the contract, newest first. */
export function contractLines(changelog: string): ContractLine[] {
  return [...changelog.matchAll(/^- `([0-9a-f]{16})` (.+)$/gm)].map(([, digest = "", text = ""]) => ({
    digest,
    text,
    breaking: text.startsWith(breakingMark),
  }));
}

/** Whether the changelog explains the baseline. */
export function checkChangelog(root: string): string[] {
  const digest = digestOf(readFileSync(join(root, baselinePath)));
  const [newest] = contractLines(readFileSync(join(root, "CHANGELOG.md"), "utf8"));
  if (newest?.digest === digest) return [];
  return [
    `${baselinePath} has the digest ${digest}, but the newest line about the contract in CHANGELOG.md is about ` +
      `${newest?.digest ?? "none"}: a baseline changes only together with a line that says why. ${howToAccept}`,
  ];
}

/** Whether the baseline is the contract: what it does not have, the check for breaking changes does not protect. */
export function checkBaselineIsCurrent(root: string): string[] {
  const contract = ownFiles(root, image(root));
  const baseline = ownFiles(root, readFileSync(join(root, baselinePath)));
  return [...new Set([...contract.keys(), ...baseline.keys()])]
    .filter((name) => contract.get(name) !== baseline.get(name))
    .map((name) => `proto/${name} is not as in ${baselinePath}. ${howToAccept}`);
}

const howToAccept = 'To accept the contract as it is: node test/contract/accept.ts "<what changed, for callers>"';

// By name, without the vendored files, which are in an image because ours import them. As text, for comparison.
function ownFiles(root: string, bytes: Uint8Array): Map<string, string> {
  const vendored = (name: string) => name.startsWith("google/protobuf/") || existsSync(join(root, "third_party", name));
  return new Map(
    files(bytes)
      .file.filter(({ name }) => !vendored(name))
      .map((file) => [file.name, toBinary(FileDescriptorProtoSchema, file).toBase64()]),
  );
}

import { execFileSync, spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";
import { createFileRegistry, type FileRegistry, fromBinary } from "@bufbuild/protobuf";
import { type FileDescriptorSet, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const bin = new URL("../../node_modules/.bin", import.meta.url).pathname;
// Buf finds the code generator on the path; both are scripts that want the pinned Node.
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` };

/** Runs Buf on the contract under `root`, and returns what it complains about, line by line. It needs no network. */
export function buf(root: string, ...args: string[]): string[] {
  const { status, stdout, stderr, error } = spawnSync(join(bin, "buf"), args, { cwd: root, env, encoding: "utf8" });
  if (error) throw error;
  if (status === 0) return [];
  return [`buf ${args[0]}: exit ${status}`, ...`${stdout}${stderr}`.split("\n").filter((line) => line !== "")];
}

/**
 * The contract under `root` as Buf's image without comments, which is what the baseline is. What engines say is not in
 * it: we offer it to nobody.
 */
export function image(root: string): Uint8Array {
  const args = ["build", "proto", "--exclude-path", "proto/xray", "--exclude-source-info", "-o", "-#format=binpb"];
  return execFileSync(join(bin, "buf"), args, { cwd: root, env, maxBuffer: 64 * 1024 * 1024 });
}

/** The files of an image. */
export function files(bytes: Uint8Array): FileDescriptorSet {
  return fromBinary(FileDescriptorSetSchema, bytes);
}

/** What an image describes. */
export function describe(bytes: Uint8Array): FileRegistry {
  return createFileRegistry(files(bytes));
}

import type { NodeConfig } from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { readText } from "../../../platform/files/read-text.ts";
import { replaceFile } from "../../../platform/files/replace-file.ts";
import { configOf, digestOf } from "./config-content.ts";
import { type FormerLink, type Links, linksOf } from "./links.ts";

/** A config that runs, or ran well. */
export interface GoodConfig {
  readonly revision: number;
  readonly digest: string;
  /** What the digest is over. */
  readonly content: string;
  readonly config: NodeConfig;
  readonly links: Links;
}

/** The last good config that is kept in a file; undefined when there is none, or none that is whole. */
export async function readKeptConfig(path: string, now: number): Promise<GoodConfig | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    const { format, revision, digest, content, former }: Kept = JSON.parse(text);
    if (format !== 1 || digestOf(content) !== digest) return undefined;
    const config = configOf(content);
    return {
      revision,
      digest,
      content,
      config,
      links: linksOf(config, { owners: new Map(), former: new Map(former) }, now),
    };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Keeps a config as the last good one, for the eyes of this user only, whole or not at all. */
export function keepConfig(path: string, { revision, digest, content, links }: GoodConfig): Promise<void> {
  const kept: Kept = { format: 1, revision, digest, former: [...links.former], content };
  return replaceFile(path, JSON.stringify(kept));
}

interface Kept {
  readonly format: 1;
  readonly revision: number;
  readonly digest: string;
  readonly former: readonly (readonly [uuid: string, link: FormerLink])[];
  readonly content: string;
}

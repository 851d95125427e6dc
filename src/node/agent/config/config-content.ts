import { createHash } from "node:crypto";
import { createRegistry } from "@bufbuild/protobuf";
import {
  file_garrison_core_v1_node_config,
  type NodeConfig,
  NodeConfigSchema,
} from "../../../../gen/garrison/core/v1/node_config_pb.ts";
import { canonicalJson } from "../../../platform/canonical-json.ts";
import { createReaders, openText } from "../../../platform/rest/json/reader.ts";
import { createWriters } from "../../../platform/rest/json/writer.ts";

const registry = createRegistry(file_garrison_core_v1_node_config);
const write = createWriters(registry, false).message(NodeConfigSchema);
const read = createReaders(registry).message(NodeConfigSchema);

/** What the digest of a config is over: its JSON, as Core's route sends it, without `revision` and `digest` (RFC 8785). */
export function contentOf(config: NodeConfig): string {
  const { revision: _, digest: __, ...content } = JSON.parse(write(config));
  return canonicalJson(content);
}

/** SHA-256 of a config's content, in lower-case hex. */
export function digestOf(content: string): string {
  return createHash("sha256").update(content).digest("hex");
}

/** The config with this content. It has neither revision nor digest. */
export function configOf(content: string): NodeConfig {
  return read(openText(content)) as NodeConfig; // what its schema reads
}

import { create, toBinary } from "@bufbuild/protobuf";
import { type ConfigDelta, ConfigDeltaSchema } from "../../../gen/garrison/core/v1/node_config_pb.ts";
import type { ConfigLibrary } from "./config-library.ts";
import type { ConfigHead } from "./config-store.ts";
import { difference } from "./content/difference.ts";
import type { Pace } from "./pace.ts";

/** The part of a config that a delta may be as long as, to be worth it. */
const worthwhile = 0.3;

/** The way from a config to the newest one. Undefined where it is not shorter, or either is not kept any more. */
export async function deltaBetween(
  library: Pick<ConfigLibrary, "parts">,
  baseDigest: string,
  { revision, digest }: ConfigHead,
  pace: Pace,
): Promise<ConfigDelta | undefined> {
  const [from, to] = await Promise.all([library.parts(baseDigest), library.parts(digest)]);
  if (from === undefined || to === undefined) return undefined;
  const limit = to.content.length * worthwhile;
  if (Math.abs(to.content.length - from.content.length) > limit) return undefined;
  const operations = await difference(from, to, pace);
  const delta = create(ConfigDeltaSchema, { baseDigest, revision: BigInt(revision), digest, operations });
  return toBinary(ConfigDeltaSchema, delta).length > limit ? undefined : delta;
}

/** The request names nothing that could be done. The message says what it should have named. */
export class UnusableRequest extends Error {
  override readonly name = "UnusableRequest";
}

/** Something else is being done to the node, and it is one at a time. */
export class AnotherJobRuns extends Error {
  override readonly name = "AnotherJobRuns";
}

/** The node goes down, and what was being done to it ends. */
export class NodeGoesDown extends Error {
  override readonly name = "NodeGoesDown";
  override readonly message = "the node is going down: ask again when it is back";
}

/** The mirror does not have a release, or not for this machine. */
export class ReleaseNotFound extends Error {
  override readonly name = "ReleaseNotFound";
}

/** Nothing tells which SHA-256 a file should have, or it has another one. */
export class DigestRefused extends Error {
  override readonly name = "DigestRefused";
}

/** Nobody has said how the node is updated. */
export class UpdateCommandMissing extends Error {
  override readonly name = "UpdateCommandMissing";
  override readonly message =
    "this node cannot update itself: GARRISON_UPDATE_COMMAND must name the program that updates it";
}

/** The program that updates the node has failed. */
export class NodeUpdateFailed extends Error {
  override readonly name = "NodeUpdateFailed";
}

/** The directory of the geodata cannot be written. */
export class AssetsNotWritable extends Error {
  override readonly name = "AssetsNotWritable";

  constructor(directory: string, cause: Error) {
    super(`XRAY_ASSETS_PATH is ${directory}, and the node cannot write there: ${cause.message}`, { cause });
  }
}

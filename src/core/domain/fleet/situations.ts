// What can be wrong with what an operator asks for. Each has the stable name that the contract documents.

/** There is no such thing. `kind` is such as `NODE`. */
export class Unknown extends Error {
  override readonly name = "Unknown";
  readonly code: string;

  constructor(kind: Kind, id: number | bigint | string) {
    super(`there is no ${wordsOf(kind)} ${id}`);
    this.code = `${kind}_UNKNOWN`;
  }
}

/** Another one has it already, and it must be unique. `what` is such as `NAME`. */
export class Taken extends Error {
  override readonly name = "Taken";
  readonly code: string;

  constructor(what: "NAME" | "TAG" | "PORT" | "WIREGUARD", sentence: string) {
    super(sentence);
    this.code = `${what}_TAKEN`;
  }
}

/** The same request id was used for something else. */
export class RequestIdReused extends Error {
  override readonly name = "RequestIdReused";
  readonly code = "REQUEST_ID_REUSED";

  constructor() {
    super("this requestId was used with other fields: make a new one for every creation");
  }
}

/** It cannot be done as things stand. The sentence says what to do first. */
export class NotNow extends Error {
  override readonly name = "NotNow";
  readonly code: string;

  constructor(
    code:
      | "NODE_IN_USE"
      | "NODE_PROTOCOL_IN_USE"
      | "NODE_OUTBOUND_IN_USE"
      | "USER_IN_USE"
      | "ENROLMENT_CODE_USED"
      | "CONFIG_MISSING"
      | "REVISION_CURRENT"
      | "API_KEY_LAST",
    sentence: string,
  ) {
    super(sentence);
    this.code = code;
  }
}

/** A field does not hold what it must. The message names the place, and no secrets. */
export class Invalid extends Error {
  override readonly name = "Invalid";
  readonly code: string;

  constructor(
    code:
      | "FIELD_INVALID"
      | "PAGE_TOKEN_INVALID"
      | "TAG_RESERVED"
      | "SETTINGS_INVALID"
      | "CONFIG_INVALID"
      | "ROUTING_INVALID",
    sentence: string,
  ) {
    super(sentence);
    this.code = code;
  }
}

/** The caller is not allowed to. */
export class ScopeMissing extends Error {
  override readonly name = "ScopeMissing";
  readonly code = "SCOPE_MISSING";

  constructor(scope: string) {
    super(`this needs the scope ${scope}, which the API key does not have`);
  }
}

/** What {@link Unknown} is about. */
export type Kind =
  | "NODE"
  | "ENROLMENT_CODE"
  | "NODE_PROTOCOL"
  | "NODE_OUTBOUND"
  | "USER"
  | "SUBSCRIPTION"
  | "REVISION"
  | "API_KEY";

function wordsOf(kind: Kind): string {
  return kind === "API_KEY" ? "API key" : kind.toLowerCase().replaceAll("_", " ");
}

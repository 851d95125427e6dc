import { Code, ConnectError } from "@connectrpc/connect";

/** What a caller is told beyond code and sentence. */
export interface PublicErrorDetails {
  /** The HTTP status in REST where it is not the one that follows from the code. */
  readonly httpStatus?: number;
  /**
   * A stable name for programs, in upper case: `NODE_KEY_REVOKED`. Besides REST's own place for it, it is sent as the
   * header, or trailer, `garrison-code`. Default: the code's own name, which is not sent.
   */
  readonly machineCode?: string;
  /** Seconds after which a retry makes sense: the header, or trailer, `retry-after`. */
  readonly retryAfterSeconds?: number;
  /** What was wrong underneath: logged, never sent. */
  readonly cause?: unknown;
  /** What the log says in place of the sentence. For sentences that name a user. */
  readonly logged?: string;
}

/**
 * An error whose sentence may leave the process: it says what is wrong and what to do. Everything else that is thrown
 * is logged and answered as internal.
 */
export class PublicError extends ConnectError {
  readonly httpStatus: number;
  readonly machineCode: string;
  readonly logged: string;

  constructor(message: string, code: Code, details: PublicErrorDetails = {}) {
    // The name stays ConnectError's: connect knows its own errors by it.
    // A sentence with half a surrogate pair, quoted from somebody's JSON, cannot be sent in a header.
    super(message.toWellFormed(), code, sentBeside(details), undefined, details.cause);
    this.httpStatus = details.httpStatus ?? httpStatusOf(code);
    this.machineCode = details.machineCode ?? machineCodeOf(code);
    this.logged = details.logged ?? message;
  }

  // ConnectError's own test goes by the name, and would call every ConnectError public.
  static override [Symbol.hasInstance](value: unknown): value is PublicError {
    return value instanceof Error && Object.prototype.isPrototypeOf.call(PublicError.prototype, value);
  }
}

function sentBeside({ machineCode, retryAfterSeconds }: PublicErrorDetails): Record<string, string> {
  return {
    ...(machineCode && { [machineCodeHeader]: machineCode }),
    ...(retryAfterSeconds !== undefined && { "retry-after": `${Math.ceil(retryAfterSeconds)}` }),
  };
}

/** The header, or trailer, with the stable name of an error that has one of its own. */
export const machineCodeHeader = "garrison-code";

/** The HTTP status that REST answers an error of this code with, unless the error names its own. */
export function httpStatusOf(code: Code): number {
  return httpStatusByCode[code] ?? 500;
}

/** The stable name of a code where an error has none of its own: `NOT_FOUND`. */
export function machineCodeOf(code: Code): string {
  return Code[code].replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase();
}

// The node's table for REST errors, which agrees with the usual mapping of gRPC codes.
const httpStatusByCode: Partial<Record<Code, number>> = {
  [Code.Canceled]: 499,
  [Code.InvalidArgument]: 400,
  [Code.DeadlineExceeded]: 504,
  [Code.NotFound]: 404,
  [Code.AlreadyExists]: 409,
  [Code.PermissionDenied]: 403,
  [Code.ResourceExhausted]: 429,
  [Code.FailedPrecondition]: 412,
  [Code.Aborted]: 409,
  [Code.OutOfRange]: 400,
  [Code.Unimplemented]: 501,
  [Code.Unavailable]: 503,
  [Code.Unauthenticated]: 401,
};

/**
 * After this time, in milliseconds, the head of a streamed answer leaves without its first message, so that the caller
 * of a quiet stream knows that it is open. Until then its handler may set headers, and an error be answered in one
 * piece. Over gRPC-Web and Connect the head waits for the first message all the same: the router does not let go of it.
 */
export const headAfterMs = 20;

/**
 * After this time, in milliseconds, the head of a streamed answer leaves without its first message, so that the caller
 * of a quiet stream knows that it is open, whatever protocol it speaks. Until then its handler may set headers, and over
 * gRPC and REST an error be answered in one piece.
 */
export const headAfterMs = 20;

import type { Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { clientLeft } from "../call/client-left.ts";
import { FrameReader } from "./frames.ts";
import type { RequestBody } from "./request-messages.ts";

/**
 * Reads the one message of a unary call. It is there when the body has ended, since a second one would be an error.
 * Rejects with what the client is told of a body without message, with more than one, or with a malformed one.
 */
export function readRequestMessage({ stream, readMaxBytes, decode }: RequestBody): Promise<Message> {
  const { promise, resolve, reject } = Promise.withResolvers<Message>();
  let message: Message | Promise<Message> | undefined;
  const reader = new FrameReader(readMaxBytes, (frame) => {
    const decoded = decode(frame);
    if (decoded instanceof Promise) decoded.catch(reject);
    if (message !== undefined) {
      throw new ConnectError("protocol error: received extra input message for unary method", Code.Unimplemented);
    }
    message = decoded;
  });
  const onData = (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (error) {
      stream.off("data", onData);
      reject(error);
    }
  };
  const onEnd = () => {
    try {
      reader.end();
      if (message !== undefined) return resolve(message);
      reject(new ConnectError("protocol error: missing input message for unary method", Code.Unimplemented));
    } catch (error) {
      reject(error);
    }
  };
  // An empty body may have ended, or the client may have left, while the gate was asked.
  if (stream.readableEnded) onEnd();
  else if (stream.destroyed) reject(clientLeft());
  else {
    stream.on("data", onData).on("end", onEnd);
    stream.on("close", () => {
      if (!stream.readableEnded) reject(clientLeft());
    });
  }
  return promise;
}

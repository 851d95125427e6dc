import type { Readable } from "node:stream";
import { Code, ConnectError } from "@connectrpc/connect";
import { joined } from "../../joined.ts";
import { clientLeft } from "../call/client-left.ts";

/**
 * Reads a body to its end. Rejects with ResourceExhausted for one that is, or is announced, larger than allowed; what
 * remains of it is held back then.
 */
export function readBody(source: Readable, readMaxBytes: number, contentLength: string | undefined): Promise<Buffer> {
  const announced = Number.parseInt(contentLength ?? "", 10);
  if (announced > readMaxBytes) return Promise.reject(tooLarge(`message size ${announced} is`, readMaxBytes));
  // An empty body may have ended, and the client may have left, while the gate was asked.
  if (source.readableEnded) return Promise.resolve(Buffer.alloc(0));
  if (source.destroyed) return Promise.reject(clientLeft());
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  const chunks: Buffer[] = [];
  let size = 0;
  const onData = (chunk: Buffer) => {
    size += chunk.length;
    if (size > readMaxBytes) {
      source.off("data", onData);
      source.pause();
      reject(tooLarge("message size is", readMaxBytes));
    } else {
      chunks.push(chunk);
    }
  };
  source.on("data", onData);
  source.on("end", () => resolve(joined(chunks)));
  source.on("close", () => {
    if (!source.readableEnded) reject(clientLeft());
  });
  return promise;
}

function tooLarge(what: string, readMaxBytes: number): ConnectError {
  return new ConnectError(`${what} larger than configured readMaxBytes ${readMaxBytes}`, Code.ResourceExhausted);
}

import type { Readable } from "node:stream";

/**
 * The pieces of a body as `for await` takes them, with two differences. Leaving the loop early does not destroy the body.
 * And a reader who is still there when the request is answered gets an error: for it, the body has no end.
 */
export function readPieces(body: Readable, isAnswered: () => boolean): NodeJS.AsyncIterator<Buffer> {
  const pieces: NodeJS.AsyncIterator<Buffer> = body.iterator({ destroyOnReturn: false });
  const check = () => {
    if (isAnswered()) throw new Error("the request was answered before its body was read");
  };
  return {
    next: async () => {
      check();
      const piece = await pieces.next();
      check();
      return piece;
    },
    return: async () => (await pieces.return?.()) ?? { done: true, value: undefined },
    [Symbol.asyncIterator]() {
      return this;
    },
    [Symbol.asyncDispose]: () => pieces[Symbol.asyncDispose](),
  };
}

import { Code } from "@connectrpc/connect";
import { PublicError } from "../../src/platform/rpc/public-error.ts";
import { serveService } from "../../src/platform/rpc/served-service.ts";
import { PipeService } from "./gen/garrison/resttest/v1/pipe_service_pb.ts";

/** The test-only service in protobuf and plain text. */
export function servePipe(received: string[] = []) {
  return serveService(PipeService, {
    turn({ part, fail }) {
      if (fail) throw new TypeError("secret of the pipe");
      return part ? { part } : {};
    },
    async push(requests) {
      let count = 0;
      let length = 0;
      for await (const { text, last } of requests) {
        received.push(text.slice(0, 20));
        count += 1;
        length += text.length;
        if (last) break;
      }
      return { count, length: BigInt(length) };
    },
    async *tail({ count, fail }, { signal }) {
      for (let line = 1; line <= (count || 1); line += 1) yield { line: `line ${line}` };
      if (fail) throw new PublicError("burst", Code.Unavailable);
      if (count === 0 && !signal.aborted) {
        await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
      }
    },
    async *flow(requests) {
      for await (const { text } of requests) yield { text };
    },
  });
}

import { Agent, get } from "node:http";
import { EngineUnreachable } from "../engine-error.ts";

/** What was answered. */
interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** Asks one server on the loopback interface. */
export interface HttpCaller {
  /** Throws {@link EngineUnreachable} when there is no whole answer within that time. */
  get(path: string, timeoutMs: number): Promise<HttpAnswer>;
  /** Ends its connections. */
  close(): void;
}

/** Makes a caller of a port of 127.0.0.1, which sends these headers with every request. */
export function createHttpCaller(port: number, headers: Record<string, string> = {}): HttpCaller {
  // telemt ends connections that are 15 s old, whatever is on its way on them: one for each request.
  const agent = new Agent({ keepAlive: false });
  return {
    get(path, timeoutMs) {
      const signal = AbortSignal.timeout(timeoutMs);
      return new Promise((resolve, reject) => {
        const fail = (error: Error) =>
          reject(new EngineUnreachable(`telemt does not answer ${path}: ${error.message}`));
        const request = get({ host: "127.0.0.1", port, path, headers, agent, signal }, (response) => {
          const chunks: Buffer[] = [];
          let length = 0;
          response.on("data", (chunk: Buffer) => {
            chunks.push(chunk);
            length += chunk.length;
            if (length > largestAnswer) request.destroy(new Error("the answer is too long"));
          });
          response.on("error", fail);
          response.on("end", () => resolve({ status: response.statusCode ?? 0, body: `${Buffer.concat(chunks)}` }));
        });
        request.on("error", fail);
      });
    },
    close: () => agent.destroy(),
  };
}

/** Of 10,000 users telemt tells 7 MB. */
const largestAnswer = 256 << 20;

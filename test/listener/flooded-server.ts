import { createSelfSignedCertificate } from "../../src/platform/identity/certificate.ts";
import { createListener, peerOf } from "../../src/platform/listener/listener.ts";

// A server in a process of its own, so that its memory can be measured. Who comes with a key is answered. With anybody
// else it does what it is told: `wait` never answers, as a gate that asks a database that is down; `refuse` answers 401;
// `read` takes in all that comes.

const [, , mode, transport] = process.argv;
const pair = createSelfSignedCertificate({ hostNames: ["localhost"], addresses: ["127.0.0.1"], now: new Date() });
const listener = createListener({ ...(transport === "tls" && { tls: { pair } }) });
const server = listener.serve((request, answer) => {
  // Either kind of answer can do what is asked of it here.
  const response = answer as { statusCode: number; end(text?: string): unknown };
  if (request.headers.authorization !== undefined) {
    peerOf(request).trust();
    request.resume();
    request.on("end", () => response.end("fine"));
  } else if (mode === "refuse") {
    response.statusCode = 401;
    response.end();
  } else if (mode === "read") {
    const pieces: Buffer[] = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => response.end(String(pieces.length)));
  }
});
server.listen(0, "127.0.0.1", () => process.send?.({ address: server.address(), ca: pair.cert }));

let peakBytes = 0;
setInterval(() => {
  peakBytes = Math.max(peakBytes, process.memoryUsage.rss());
}, 10);
process.on("message", () => {
  process.send?.({ peakBytes: Math.max(peakBytes, process.memoryUsage.rss()) });
  peakBytes = 0;
});

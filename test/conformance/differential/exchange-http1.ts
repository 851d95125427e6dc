import { connect } from "node:net";
import { buffer } from "node:stream/consumers";

/** Writes bytes to a connection of its own, piece by piece, and returns all that comes back, without what differs from call to call. */
export async function exchangeHttp1(port: number, pieces: readonly (string | Uint8Array)[]): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  socket.on("error", () => undefined);
  const patience = setTimeout(() => socket.end(), patienceMs);
  const received = buffer(socket).catch(() => Buffer.from("connection broken"));
  for (const piece of pieces) {
    socket.write(piece);
    await new Promise((resolve) => setTimeout(resolve, turnMs));
  }
  const answer = (await received).toString("latin1");
  clearTimeout(patience);
  socket.destroy();
  return answer.replace(
    /(HTTP\/1\.1 \d+[^\r]*\r\n)((?:[^\r\n]+\r\n)*)(?=\r\n)/g,
    (_, first, fields) => first + stable(fields),
  );
}

function stable(fields: string): string {
  return fields
    .split("\r\n")
    .filter((field) => field !== "" && !/^date:/i.test(field))
    .map((field) => field.replace(/^(x-request-id): .*/i, "$1: one").concat("\r\n"))
    .sort()
    .join("");
}

const patienceMs = 250;
const turnMs = 3;

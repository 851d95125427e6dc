import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { RealNode } from "./real-node.ts";

/** The client that panels are built on, as it is published, in a process of its own. */
export class Bridge {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  readonly #wrote: string[] = [];

  constructor(python: string, node: RealNode, mode: string, key = node.key) {
    const driver = new URL("bridge/driver.py", import.meta.url).pathname;
    this.#child = spawn(python, [driver], { env: { PATH: process.env.PATH } });
    this.#child.stderr.on("data", (text) => this.#wrote.push(String(text)));
    this.#child.stdin.on("error", () => undefined); // it has ended, which the next answer tells
    this.#lines = createInterface(this.#child.stdout)[Symbol.asyncIterator]();
    const { hostname: host, port } = new URL(node.url);
    this.#write({ mode, host, port: Number(port), key, certificate: node.certificate });
  }

  /** What the client's method answered. Throws what the client raised. */
  async call(name: string, args: Record<string, unknown> = {}): Promise<unknown> {
    this.#write([name, args]);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`the client ended:\n${this.#wrote.join("")}`);
    const { ok, error } = JSON.parse(value);
    if (error !== undefined) throw Object.assign(new Error(error.detail), { code: error.code });
    return ok;
  }

  async close(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.stdin.end();
    await closed;
  }

  #write(value: unknown): void {
    this.#child.stdin.write(`${JSON.stringify(value)}\n`);
  }
}

import { describe, expect, test } from "vitest";
import { soakExactlyOnce } from "./soak.ts";

const seconds = 45;

describe.each([
  { engine: "sqlite", resume: true, when: "while Xray outlives the node" },
  { engine: "postgres", resume: false, when: "while Xray ends with the node" },
] as const)("on $engine, $when", ({ engine, resume }) => {
  test(`every byte of ${seconds} s in which everything is killed is booked at Core once`, {
    timeout: 400_000,
  }, async () => {
    const seed = Number(process.env.SOAK_SEED ?? Math.floor(Math.random() * 2 ** 32));
    console.log(`SOAK_SEED=${seed}`);
    const { done, wrong } = await soakExactlyOnce({ seed, seconds, engine, resume });
    console.log(JSON.stringify(done));
    if (wrong.length > 0) throw new Error(wrong.join("\n"));
    // Where Xray ends with the node, its many ends may have touched every subscription, and leave bounds for each.
    const happened = ["bytes", "node SIGKILL", "node SIGTERM", "Core SIGKILL", "Xray SIGKILL"];
    for (const what of resume ? ["exact", ...happened] : happened)
      expect([what, done[what] ?? 0]).not.toEqual([what, 0]);
  });
});

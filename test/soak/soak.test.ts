import { expect, test } from "vitest";
import { soak } from "./soak.ts";

const seconds = 60;

test(`a node that is used, misused and bereaved of its engine for ${seconds} s has lost nothing`, {
  timeout: 180_000,
}, async () => {
  const seed = Number(process.env.SOAK_SEED ?? Math.floor(Math.random() * 2 ** 32));
  console.log(`SOAK_SEED=${seed}`);
  const { done, wrong } = await soak(seed, seconds);
  console.log(JSON.stringify(done));
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
  for (const what of ["syncs", "transfers", "reads", "kill", "full sync"]) expect(done[what]).toBeGreaterThan(0);
});

import { soak } from "./soak.ts";

// Arguments: how many seconds, and the seed of an earlier run.
const seconds = Number(process.argv[2] ?? 600);
const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 32));
console.log(`seed ${seed}, ${seconds} s`);
const { done, wrong } = await soak(seed, seconds);
for (const [what, count] of Object.entries(done)) console.log(`${what}: ${count}`);
for (const each of wrong) console.error(each);
process.exitCode = wrong.length > 0 ? 1 : 0;

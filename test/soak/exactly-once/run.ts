import { soakExactlyOnce } from "./soak.ts";

// Arguments: how many seconds, the seed of an earlier run or `random`, the database, and whether Xray outlives the node.
const [, , seconds = "600", given = "random", database, outliving] = process.argv;
const seed = given === "random" ? Math.floor(Math.random() * 2 ** 32) : Number(given);
const engine = database === "postgres" ? "postgres" : "sqlite";
const resume = outliving !== "off";
console.log(`seed ${seed}, ${seconds} s, ${engine}, Xray ${resume ? "outlives" : "ends with"} the node`);
const { done, wrong } = await soakExactlyOnce({ seed, seconds: Number(seconds), engine, resume });
for (const [what, count] of Object.entries(done)) console.log(`${what}: ${count}`);
for (const each of wrong) console.error(each);
process.exitCode = wrong.length > 0 ? 1 : 0;

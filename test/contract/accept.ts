import { accept } from "./acceptance.ts";

// Accepts the contract of this work tree as it is. What breaks callers needs --breaking.

const [reason, ...rest] = process.argv.slice(2).filter((argument) => argument !== "--breaking");
if (!reason || rest.length > 0) {
  console.error('usage: node test/contract/accept.ts [--breaking] "<what changed, for callers>"');
  process.exit(2);
}
const breaking = process.argv.includes("--breaking");
const refused = accept(new URL("../..", import.meta.url).pathname, reason, { breaking });
if (refused.length > 0) {
  console.error([...refused, "nothing was written; to break callers on purpose: --breaking"].join("\n"));
  process.exit(1);
}

/**
 * The contract's REST options contradict themselves or name what does not exist. Thrown at start, with every problem on
 * a line of its own that names the RPC, field or enum value and says what is wrong.
 */
export class BadContract extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`the REST options of the contract cannot be served:\n${problems.map((line) => `  ${line}`).join("\n")}`);
    this.name = "BadContract";
    this.problems = problems;
  }
}

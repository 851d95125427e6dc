import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { xrayPath } from "../../test/xray-path.ts";
import { configOf, startNodeUnderTest } from "./node-under-test.ts";
import { report } from "./report.ts";

const linesPerSecond = 5_000;
const seconds = 4;

/** What two viewers lose of a log that grows by 5,000 lines a second, and how long a quiet one's headers take. */
export async function measureLogs(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "garrison-bench-"));
  const noisy = join(directory, "xray");
  const talker = `let n = 0;
    const timer = setInterval(() => {
      let text = "";
      for (let i = 0; i < ${linesPerSecond / 50}; i += 1) text += "line " + n++ + "\\n";
      process.stdout.write(text);
      if (n >= ${linesPerSecond * seconds}) clearInterval(timer);
    }, 20);`;
  await writeFile(join(directory, "talker.js"), `setTimeout(() => { ${talker} }, 1_500);`);
  const xray = await xrayPath();
  // Only a run that stays talks: not one that tells the version, or tests a config.
  const script = `#!/bin/sh
case "$*" in *-test*|version) ;; run*) '${process.execPath}' '${directory}/talker.js' & ;; esac
exec '${xray}' "$@"
`;
  await writeFile(noisy, script);
  await chmod(noisy, 0o755);
  const node = await startNodeUnderTest({ XRAY_EXECUTABLE_PATH: noisy });
  try {
    const { config } = await configOf(1);
    await node.client.start({ config });
    const startedAt = performance.now();
    const answer = await fetch(`${node.url}/logs`, { headers: { "x-api-key": node.key } });
    report({ about: "log of a quiet engine: headers", value: performance.now() - startedAt, unit: "ms", atMost: 50 });
    await answer.body?.cancel();
    const viewers = [view(node.clientAt(node.url)), view(node.clientAt(node.url))];
    for (const [index, seen] of (await Promise.all(viewers)).entries()) {
      const value = (100 * seen) / (linesPerSecond * seconds);
      report({ about: `viewer ${index + 1} of 2 at 5,000 lines/s: seen`, value, unit: "%", atLeast: 100 });
    }
  } finally {
    await node.close();
    await rm(directory, { recursive: true });
  }
}

/** How many of the talker's lines a viewer has seen until the last one, or until nothing has come for long. */
async function view(client: Awaited<ReturnType<typeof startNodeUnderTest>>["client"]): Promise<number> {
  const last = `line ${linesPerSecond * seconds - 1}`;
  let seen = 0;
  const limit = AbortSignal.timeout((seconds + 10) * 1_000);
  try {
    for await (const { detail } of client.getLogs({}, { signal: limit })) {
      if (detail.startsWith("line ")) seen += 1;
      if (detail === last) break;
    }
  } catch (error) {
    if (!limit.aborted) throw error;
  }
  return seen;
}

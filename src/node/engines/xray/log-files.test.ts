import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createLogFiles, type LogFiles } from "./log-files.ts";

let directory = "";
let files: LogFiles;
const told: string[] = [];
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "garrison-log-files-"));
  told.length = 0;
  files = createLogFiles((note) => told.push(note));
});
afterEach(() => rm(directory, { recursive: true }));

const at = (name: string) => join(directory, name);
const read = (name: string) => readFile(at(name), "utf8");
const nowhere = { access: undefined, error: undefined };

const accepted = [
  "2026/03/27 10:00:00.123456 from 127.0.0.1:40962 accepted tcp:127.0.0.1:80 [vless >> direct] email: 42",
  "2026/03/27 10:00:00 from tcp:[::1]:40962 accepted udp:dns.example:53 [ss]",
  "2026/03/27 10:00:00.1 from @ accepted //example.org:443 [http -> direct]",
  "2026/03/27 10:00:00.1 from  accepted tcp:example.org:443",
];
const others = [
  "Xray 26.3.27 (Xray, Penetrates Everything.) Custom (go1.26.8 linux/amd64)",
  "2026/03/27 10:00:00.123456 [Warning] core: Xray 26.3.27 started",
  "2026/03/27 10:00:00.123456 from 127.0.0.1:40962 rejected  proxy/vless/encoding: invalid request user id",
  "2026/03/27 10:00:00.1 [Info] [7] app/dispatcher: from 127.0.0.1:1 accepted tcp:a.example:1 [x] email: 1",
  "from 127.0.0.1:40962 accepted tcp:127.0.0.1:80 [vless >> direct] email: 42",
  "panic: runtime error",
];

test("who was let in goes to the access file, all else to the error file", async () => {
  files.use({ access: at("a/access.log"), error: at("e/error.log") });
  for (const line of [...accepted, ...others]) files.write(line);
  await files.release();
  expect((await read("a/access.log")).split("\n")).toEqual([...accepted, ""]);
  expect((await read("e/error.log")).split("\n")).toEqual([...others, ""]);
});

test("one file for both has all lines in order", async () => {
  files.use({ access: at("log"), error: at("log") });
  const lines = [...others, ...accepted, ...others, ...accepted];
  for (const line of lines) files.write(line);
  await files.release();
  expect((await read("log")).split("\n")).toEqual([...lines, ""]);
});

test.each([
  [{ access: "access.log", error: undefined }, accepted],
  [{ access: undefined, error: "error.log" }, others],
])("with %j only the lines of that file are written", async (names, expected) => {
  const [name = ""] = [names.access, names.error].filter((file) => file !== undefined);
  files.use({ access: names.access && at(names.access), error: names.error && at(names.error) });
  for (const line of [...accepted, ...others]) files.write(line);
  await files.release();
  expect((await read(name)).split("\n")).toEqual([...expected, ""]);
});

test("other files can be used from one line to the next, and none is lost", async () => {
  files.use({ access: undefined, error: at("one") });
  files.write("to one");
  files.use({ access: undefined, error: at("two") });
  files.write("to two");
  files.use({ access: undefined, error: at("two") });
  files.write("to two again");
  files.use(nowhere);
  files.write("to none");
  await files.release();
  expect([await read("one"), await read("two")]).toEqual(["to one\n", "to two\nto two again\n"]);
});

test("after the release nothing is written until files are used again", async () => {
  files.use({ access: undefined, error: at("log") });
  await files.release();
  files.write("unwanted");
  await files.release();
  expect(await read("log")).toBe("");
  files.use({ access: undefined, error: at("log") });
  files.write("wanted");
  await files.release();
  expect(await read("log")).toBe("wanted\n");
});

test("one file that cannot be written is told of, and does the other no harm", async () => {
  files.use({ access: "/dev/full", error: at("error.log") });
  for (const line of [...accepted, ...others]) files.write(line);
  await files.release();
  expect((await read("error.log")).split("\n")).toEqual([...others, ""]);
  expect(told).toEqual([expect.stringContaining("the log file /dev/full cannot be written")]);
});

test("without files nothing is made", async () => {
  files.use(nowhere);
  files.write("x");
  await files.release();
  expect(existsSync(at("x"))).toBe(false);
  expect(told).toEqual([]);
});

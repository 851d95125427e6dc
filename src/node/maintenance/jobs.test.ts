import { expect, test } from "vitest";
import { JobKind, JobState } from "../../../gen/garrison/node/v1/maintenance_pb.ts";
import { createLog } from "../../platform/telemetry/log.ts";
import { createJobs, type Work } from "./jobs.ts";
import { AnotherJobRuns, NodeGoesDown } from "./situations.ts";

const make = () => createJobs({ now: () => new Date(1_000), log: createLog("test", "silent") });
const assignment = (key: string, kind: JobKind = JobKind.CORE_UPDATE) => ({ kind, subject: key, key });

/** Work that ends when it is told to, or with the node. */
function held() {
  const { promise, resolve, reject } = Promise.withResolvers<{ detail: string }>();
  let runs = 0;
  const work: Work = async (signal, progress) => {
    runs += 1;
    progress.update("half way");
    signal.addEventListener("abort", () => reject(signal.reason));
    return promise;
  };
  return { work, done: () => resolve({ detail: "done" }), fail: reject, runs: () => runs };
}

test("the same request joins the job that runs, and gets the same answer", async () => {
  const jobs = make();
  const { work, done, runs } = held();
  const first = jobs.run(assignment("v1"), work);
  const second = jobs.run(assignment("v1"), work);
  expect(jobs.list).toMatchObject([{ subject: "v1", state: JobState.RUNNING, detail: "half way" }]);
  done();
  expect(await first).toBe(await second);
  expect(runs()).toBe(1);
  expect(jobs.list).toMatchObject([{ state: JobState.SUCCEEDED, detail: "done", endedAt: { seconds: 1n } }]);
});

test("another request is refused while a job runs, and begins one after it", async () => {
  const jobs = make();
  const { work, done } = held();
  const first = jobs.run(assignment("v1"), work);
  await expect(jobs.run(assignment("v2"), work)).rejects.toThrow(AnotherJobRuns);
  await expect(jobs.run(assignment("v1", JobKind.GEO_FILES), work)).rejects.toThrow("half way");
  done();
  await first;
  await jobs.run(assignment("v2"), work);
  expect(jobs.list.map(({ subject }) => subject)).toEqual(["v2", "v1"]);
});

test("everybody who has joined is told of a failure, and the next request tries again", async () => {
  const jobs = make();
  const { work, fail } = held();
  const both = Promise.allSettled([jobs.run(assignment("v1"), work), jobs.run(assignment("v1"), work)]);
  const reason = new Error("no");
  fail(reason);
  expect(await both).toEqual([
    { status: "rejected", reason },
    { status: "rejected", reason },
  ]);
  expect(jobs.list).toMatchObject([{ state: JobState.FAILED, detail: "no" }]);
  const again = held();
  const next = jobs.run(assignment("v1"), again.work);
  again.done();
  await next;
});

test("closing ends the job that runs, and nothing begins any more", async () => {
  const jobs = make();
  const { work } = held();
  const first = jobs.run(assignment("v1"), work);
  const told = expect(first).rejects.toThrow(NodeGoesDown);
  await jobs.close();
  await told;
  await expect(jobs.run(assignment("v1"), work)).rejects.toThrow(NodeGoesDown);
});

test("the list keeps the newest", async () => {
  const jobs = make();
  for (let i = 0; i < 30; i++) await jobs.run(assignment(`v${i}`), async () => ({ detail: "done" }));
  expect(jobs.list).toHaveLength(20);
  expect(jobs.list[0]?.subject).toBe("v29");
});

import { create, enumToJson } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type Effect,
  type Job,
  type JobKind,
  JobKindSchema,
  JobSchema,
  JobState,
  JobStateSchema,
} from "../../../gen/garrison/node/v1/maintenance_pb.ts";
import type { Logger } from "../../platform/telemetry/log.ts";
import type { Progress } from "../engines/install/progress.ts";
import { AnotherJobRuns, NodeGoesDown } from "./situations.ts";

/** What is asked for. */
export interface Assignment {
  readonly kind: JobKind;
  /** What exactly, for those who read the list. */
  readonly subject: string;
  /** All that tells it from others of its kind. */
  readonly key: string;
}

/** What came of a job. */
interface Outcome {
  /** A sentence for the caller. */
  readonly detail: string;
  readonly coreVersion?: string;
  readonly effect?: Effect;
}

/** Does a job. The signal aborts when the node goes down; until then it is not given up. */
export type Work = (signal: AbortSignal, progress: Progress) => Promise<Outcome>;

/** Jobs, one at a time, which outlive their callers. */
export interface Jobs {
  /** The job that runs and the last ones that ended, newest first. */
  readonly list: readonly Job[];
  /**
   * Begins a job, or joins the one that runs when it is the same. Rejects as the work does.
   *
   * @throws AnotherJobRuns, NodeGoesDown
   */
  run(assignment: Assignment, work: Work): Promise<Outcome>;
  /** Ends the job that runs, and waits until it has. */
  close(): Promise<void>;
}

/** Options of {@link createJobs}. */
export interface JobsOptions {
  now: () => Date;
  log: Logger;
}

const longestList = 20;

/** Makes an empty list of jobs. */
export function createJobs({ now, log }: JobsOptions): Jobs {
  const closing = new AbortController();
  const list: Job[] = [];
  let current: { assignment: Assignment; job: Job; outcome: Promise<Outcome> } | undefined;

  const begin = (assignment: Assignment, work: Work) => {
    const { kind, subject } = assignment;
    const job = create(JobSchema, { kind, subject, state: JobState.RUNNING, startedAt: timestampFromDate(now()) });
    list.unshift(job);
    list.splice(longestList);
    const what = { job: enumToJson(JobKindSchema, kind), subject };
    log.info(what, "maintenance begins");
    const progress: Progress = {
      note(text) {
        job.detail = text;
        log.info({ ...what, progress: text }, "maintenance");
      },
      update(text) {
        job.detail = text;
      },
    };
    const end = (state: JobState, detail: string) => {
      current = undefined;
      Object.assign(job, { state, detail, endedAt: timestampFromDate(now()) });
      log.info({ ...what, state: enumToJson(JobStateSchema, state) }, "maintenance ended");
    };
    const outcome = work(closing.signal, progress).then(
      (done) => {
        end(JobState.SUCCEEDED, done.detail);
        return done;
      },
      (cause: unknown) => {
        end(JobState.FAILED, cause instanceof Error ? cause.message : String(cause));
        throw cause;
      },
    );
    current = { assignment, job, outcome };
    return outcome;
  };

  return {
    list,
    async run(assignment, work) {
      if (closing.signal.aborted) throw new NodeGoesDown();
      if (current === undefined) return begin(assignment, work);
      if (current.assignment.key === assignment.key && current.assignment.kind === assignment.kind) {
        return current.outcome;
      }
      throw new AnotherJobRuns(
        `something else is being done to the node: ${current.job.detail || "it has just begun"}`,
      );
    },
    async close() {
      closing.abort(new NodeGoesDown());
      await current?.outcome.catch(() => undefined); // those who wait for it are told
    },
  };
}

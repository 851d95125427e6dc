import type { Draft } from "../../../platform/files/replace-file.ts";
import { createKeptState } from "../kept-state.ts";
import type { Plan } from "./plan.ts";
import {
  amendedRecord,
  changedRecord,
  changingRecords,
  disturbedRecord,
  failedRecord,
  type KeptPlan,
  planFrom,
  planRecords,
  type ReadConfig,
} from "./plan-records.ts";
import type { XrayProgram } from "./process.ts";
import type { AccountChange } from "./users-diff.ts";

/** Keeps the plan in force on disk, so that another process can take it up. One thing at a time. */
export interface PlanKeeper {
  /** The plan that is kept, if any. Asked once, before anything else. */
  open(program: XrayProgram): Promise<KeptPlan | undefined>;
  /** Writes a plan down that is kept once it is committed. */
  draft(plan: Plan): Promise<Draft>;
  /** Notes that accounts are changed: what Xray holds of them is not known until `work` has ended. */
  whileChanging<T>(plan: Plan, changes: readonly AccountChange[], work: () => Promise<T>): Promise<T>;
  /** Notes that what runs is changed in another way: until another plan is kept, it does not match what is kept. */
  disturb(): Promise<void>;
  /** The plan goes on with another routing, or word about silent callers; what runs matches it. */
  amend(plan: Plan): Promise<void>;
  /** Nothing is to be taken up any more. */
  forget(): Promise<void>;
  /** Resolves when all that is kept is on disk. */
  close(): Promise<void>;
}

/** Options of {@link createPlanKeeper}. */
export interface PlanKeeperOptions {
  /** Where it is kept. The directory exists. */
  readonly path: string;
  readonly readConfig: ReadConfig;
  /** Told what the operator should know. */
  readonly tell: (note: string) => void;
}

/**
 * Makes a keeper. What it cannot write it forgets altogether, rather than that a process takes up later what is no
 * longer so.
 */
export function createPlanKeeper({ path, readConfig, tell }: PlanKeeperOptions): PlanKeeper {
  const state = createKeptState(path, tell);
  const draft = (plan: Plan) => state.draft(planRecords(plan));
  const addOrRewrite = async (plan: Plan, record: () => string) => {
    if (state.isOvergrown) await (await draft(plan)).commit();
    else await state.add(record());
  };
  return {
    async open(program) {
      try {
        return await planFrom(await state.open(), program, readConfig);
      } catch (error) {
        tell(`[garrison] what was kept of the last run cannot be taken up: ${error}`);
        return undefined;
      }
    },
    draft,
    async whileChanging(plan, changes, work) {
      await state.add(...changingRecords(changes));
      const result = await work().catch(async (error: unknown) => {
        await state.add(failedRecord);
        throw error;
      });
      await addOrRewrite(plan, () => changedRecord(plan.table, changes));
      return result;
    },
    disturb: () => state.add(disturbedRecord),
    amend: (plan) => addOrRewrite(plan, () => amendedRecord(plan)),
    forget: state.forget,
    close: state.close,
  };
}

const nothing = async () => undefined;

/** Keeps no plan. */
export const keepsNothing: PlanKeeper = {
  open: nothing,
  draft: async () => ({ commit: nothing, discard: nothing }),
  whileChanging: (_plan, _changes, work) => work(),
  disturb: nothing,
  amend: nothing,
  forget: nothing,
  close: nothing,
};

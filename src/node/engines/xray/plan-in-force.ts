import { EngineUnreachable } from "../engine-error.ts";
import type { PlanKeeper } from "./kept-plan.ts";
import type { Launches } from "./launches.ts";
import type { LogFiles } from "./log-files.ts";
import type { Plan } from "./plan.ts";
import type { KeptPlan } from "./plan-records.ts";
import type { XrayProgram } from "./process.ts";
import type { AccountChange } from "./users-diff.ts";

/** What a plan in force is kept by, and who has to know of it. */
export interface PlanInForceOptions {
  readonly keeper: PlanKeeper;
  readonly logFiles: LogFiles;
  readonly launches: Launches;
}

/**
 * The plan that runs, or comes back, and its copy on disk, which says the same at any time: whoever changes what runs
 * does it here. One thing at a time.
 */
export class PlanInForce {
  readonly #keeper: PlanKeeper;
  readonly #logFiles: LogFiles;
  readonly #launches: Launches;
  #plan: Plan | undefined;

  constructor({ keeper, logFiles, launches }: PlanInForceOptions) {
    this.#keeper = keeper;
    this.#logFiles = logFiles;
    this.#launches = launches;
  }

  get plan(): Plan | undefined {
    return this.#plan;
  }

  /** The plan that an earlier process has kept is in force again. Asked once, before anything else. */
  async recover(program: XrayProgram): Promise<KeptPlan | undefined> {
    const kept = await this.#keeper.open(program);
    this.#plan = kept?.plan;
    return kept;
  }

  /** Another plan is in force when `bringUp` has run it, and the one before still is when that throws. */
  async replaceBy(plan: Plan, bringUp: () => Promise<void>): Promise<void> {
    // While Xray starts, another process works.
    const drafting = this.#keeper.draft(plan);
    try {
      await bringUp();
    } catch (error) {
      await (await drafting).discard();
      throw error;
    }
    this.#plan = plan;
    await (await drafting).commit();
  }

  /**
   * What runs is changed into this plan by `take`. When that throws, it is up to the caller that what runs, or comes back,
   * is the plan before, and that this is kept.
   */
  async changeInto(plan: Plan, take: () => Promise<void>): Promise<void> {
    await this.#keeper.disturb();
    await take();
    this.#plan = plan;
    this.#logFiles.use(plan.config.logPaths);
    this.#launches.tell(plan);
    await this.keep();
  }

  /** What runs goes on running, with another reading of its config. */
  async amend(changed: Partial<Pick<Plan, "config" | "keepAlive">>): Promise<void> {
    if (this.#plan === undefined) return;
    this.#plan = { ...this.#plan, ...changed };
    this.#logFiles.use(this.#plan.config.logPaths);
    await this.#keeper.amend(this.#plan);
  }

  /** Changes the routing of what runs: `work` amends the plan. */
  async changeRouting<T>(work: () => Promise<T>): Promise<T> {
    await this.#keeper.disturb();
    try {
      return await work();
    } catch (error) {
      // Whatever else is thrown says that nothing was changed.
      if (!(error instanceof EngineUnreachable)) await this.amend({});
      throw error;
    }
  }

  /** Changes accounts of the plan. */
  changeAccounts<T>(plan: Plan, changes: readonly AccountChange[], work: () => Promise<T>): Promise<T> {
    return changes.length === 0 ? work() : this.#keeper.whileChanging(plan, changes, work);
  }

  /** Keeps the plan, which is what runs, or comes back. */
  async keep(): Promise<void> {
    if (this.#plan !== undefined) await (await this.#keeper.draft(this.#plan)).commit();
  }

  /** No plan is in force. */
  async forget(): Promise<void> {
    this.#plan = undefined;
    await this.#keeper.forget();
  }

  /** Resolves when all that is kept is on disk. */
  close(): Promise<void> {
    return this.#keeper.close();
  }
}

import { Journal } from "../../platform/files/journal.ts";
import type { Draft } from "../../platform/files/replace-file.ts";

/** Records of what is in force, on disk, so that another process can take it up. One thing at a time. */
export interface KeptState {
  /** More was added than the base is large: it is time for another one. */
  readonly isOvergrown: boolean;
  /** What is kept, in order. Asked once, before anything else. Throws the system's errors. */
  open(): Promise<readonly string[]>;
  /** Writes another base, which stands in place of everything once it is committed. */
  draft(records: Iterable<string> | AsyncIterable<string>): Promise<Draft>;
  /** Adds to what is kept, if anything is. */
  add(...records: readonly string[]): Promise<void>;
  /** Nothing is to be taken up any more. */
  forget(): Promise<void>;
  /** Resolves when all that is kept is on disk. */
  close(): Promise<void>;
}

/**
 * Keeps state at a path, whose directory exists. What cannot be written is told and forgotten altogether, rather than
 * that a process takes up later what is no longer so; nothing but {@link KeptState.open} rejects.
 */
export function createKeptState(path: string, tell: (note: string) => void): KeptState {
  let journal: Journal | undefined;
  const attempt = async (write: (journal: Journal) => Promise<void>) => {
    try {
      journal ??= (await Journal.open(path)).journal;
      await write(journal);
    } catch (error) {
      tell(`[garrison] the state cannot be kept, a restart of the node will not find it: ${error}`);
      await journal?.erase().catch(() => undefined);
    }
  };
  return {
    get isOvergrown() {
      return journal?.isOvergrown ?? false;
    },
    async open() {
      const opened = await Journal.open(path);
      journal = opened.journal;
      return opened.records;
    },
    async draft(records) {
      let written: Draft | undefined;
      await attempt(async (given) => {
        written = await given.draft(records);
      });
      return {
        commit: () => attempt(async () => written?.commit()),
        discard: () => attempt(async () => written?.discard()),
      };
    },
    add: (...records) =>
      attempt(async (given) => {
        if (given.hasBase) await given.append(...records);
      }),
    forget: () => attempt((given) => given.erase()),
    close: async () => journal?.close(),
  };
}

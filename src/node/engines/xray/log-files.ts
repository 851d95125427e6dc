import { createLineFile, type LineFile } from "../line-file.ts";

/** Where the admin wants Xray's lines: absolute paths; undefined: in no file. */
export interface LogPaths {
  readonly access: string | undefined;
  readonly error: string | undefined;
}

/** The log files that the admin's config names. Xray writes all to its stdout, so that the node writes these. */
export interface LogFiles {
  /** From now on lines go to these files, which are made when they are missing. */
  use(paths: LogPaths): void;
  /** Adds a line of Xray, without its end, to the file that is for it, if any. Returns at once and never throws. */
  write(line: string): void;
  /**
   * From now on lines go to no file. Resolves when all that were added are written or lost, and after two seconds at
   * the latest: a disk that hangs does not hold up a stop.
   */
  release(): Promise<void>;
}

/** Makes log files of which none is in use. What is to be said of them is told. */
export function createLogFiles(tell: (note: string) => void): LogFiles {
  let files = new Map<string, LineFile>();
  let access: LineFile | undefined;
  let error: LineFile | undefined;
  /** When all that was added before is written. */
  let earlier: Promise<unknown> = Promise.resolve();

  const use = (paths: LogPaths) => {
    const before = files;
    earlier = Promise.all([earlier, ...Array.from(before.values(), (file) => file.written())]);
    files = new Map();
    const fileAt = (path: string | undefined) => {
      if (path === undefined) return undefined;
      // One path for both is one file, so that its lines stay in order.
      const file = files.get(path) ?? before.get(path) ?? createLineFile({ path, tell });
      files.set(path, file);
      return file;
    };
    access = fileAt(paths.access);
    error = fileAt(paths.error);
  };

  return {
    use,
    write: (line) => (accepted.test(line) ? access : error)?.write(line),
    async release() {
      use({ access: undefined, error: undefined });
      const { promise: late, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, 2_000);
      await Promise.race([earlier, late]);
      clearTimeout(timer);
    },
  };
}

/**
 * Somebody was let in: `2026/03/27 10:00:00.123456 from 1.2.3.4:5 accepted tcp:example.org:443 [in >> out] email: 42`.
 * As in the original, all else goes to the error file, those who were turned away among it. What Xray says otherwise
 * has its level behind the time, so that no text in it can look like this.
 */
const accepted = /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d(?:\.\d+)? from \S* ?accepted /;

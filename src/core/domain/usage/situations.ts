// What can be wrong with a report as a whole. Nothing of it was booked then.

/** The number of a batch is not the next one of its epoch: batches before it are missing. */
export class SequenceGap extends Error {
  override readonly name = "SequenceGap";
  /** The number that is expected. */
  readonly expected: bigint;

  constructor(expected: bigint) {
    super(`batch ${expected} is expected: send the batches from there, or say with lostFrom that they are lost`);
    this.expected = expected;
  }
}

/** A batch of this number was booked before, with other entries. */
export class BatchMismatch extends Error {
  override readonly name = "BatchMismatch";

  constructor() {
    super("a batch with this number and other entries is booked already: one number names one batch, for ever");
  }
}

/** The first batch of an epoch that is not known has a number other than 1. */
export class EpochUnknown extends Error {
  override readonly name = "EpochUnknown";

  constructor() {
    super("the epoch is not known (any more), and only its batch 1 would make it so: begin a new epoch with batch 1");
  }
}

/** A report has more entries than one may have. */
export class ReportTooLarge extends Error {
  override readonly name = "ReportTooLarge";
  readonly limit: number;

  constructor(given: number, limit: number) {
    super(`the report has ${given} entries, and may have ${limit}: send it in parts`);
    this.limit = limit;
  }
}

/** What names the batch cannot be read, or header and body name two. */
export class BatchNameInvalid extends Error {
  override readonly name = "BatchNameInvalid";
}

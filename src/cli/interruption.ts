/** The user ended the command with a signal. */
class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** Runs a work that SIGINT or SIGTERM aborts, with an `Interrupted` as the reason. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = (name: NodeJS.Signals) => controller.abort(new Interrupted(`ended by ${name}`));
  process.once("SIGINT", interrupt).once("SIGTERM", interrupt);
  try {
    return await work(controller.signal);
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

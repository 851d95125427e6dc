/** The Mihomo that `MIHOMO_PATH` names, which suites use as a client where there is one. */
export const mihomoPath: string | undefined = process.env.MIHOMO_PATH || undefined;

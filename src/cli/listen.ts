import { wrongValue } from "../platform/config/variables.ts";
import { isErrno } from "../platform/errno.ts";
import { createServer, type Server, type ServerOptions } from "../platform/server/server.ts";

/** A service cannot listen where its settings say. The message names the variable. */
class CannotListen extends Error {
  override readonly name = "CannotListen";
}

/** Serves, or says by the names of the variables why that cannot be. */
export async function listen(serving: ServerOptions, variables: { host: string; port: string }): Promise<Server> {
  const { host, port } = serving;
  try {
    return await createServer(serving);
  } catch (error) {
    if (isErrno(error, "EADDRINUSE"))
      throw new CannotListen(
        wrongValue(
          variables.port,
          `${port}`,
          `is taken on ${host}: name another, or end the program that listens there`,
        ),
      );
    if (isErrno(error, "EACCES"))
      throw new CannotListen(wrongValue(variables.port, `${port}`, "needs more rights: it must be 1024 or above"));
    if (isErrno(error, "EADDRNOTAVAIL"))
      throw new CannotListen(wrongValue(variables.host, host, "must be an address of this machine"));
    throw error;
  }
}

import { UniqueViolation } from "../../../platform/storage/errors.ts";
import { Taken } from "../../domain/fleet/situations.ts";

/** Says of a row that could not be written because its name must be unique that the name is taken. */
export function nameTaken(kind: "node" | "user", name: string) {
  return (cause: unknown): never => {
    if (!(cause instanceof UniqueViolation)) throw cause;
    throw new Taken("NAME", `there is a ${kind} named ${JSON.stringify(name)} already: choose another name`);
  };
}

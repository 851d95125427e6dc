/** The credential of an `Authorization: Bearer` header; empty when it is absent, or says something else. */
export function bearerOf(authorization: string | null): string {
  return /^bearer +(.*)$/i.exec(authorization ?? "")?.[1]?.trim() ?? "";
}

/** The first value of a header, since repeated ones arrive joined; empty when it is absent. */
export function firstValue(header: string | null): string {
  return header?.split(",", 1)[0]?.trim() ?? "";
}

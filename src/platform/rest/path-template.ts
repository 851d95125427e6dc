/** A path of the contract: `/users/{name}`, `/files/{path=**}`, `/jobs/{id}:cancel`. */
export interface PathTemplate {
  /** As the contract has it. */
  readonly text: string;
  /** The proto paths of its variables, in their order. */
  readonly variables: readonly string[];
  /** For Fastify's router, which hands out the variables under the names in {@link parameters}. */
  readonly pattern: string;
  /** The router's names for the variables, in their order. */
  readonly parameters: readonly string[];
  /** As OpenAPI writes it. Paths that differ only in the names of their variables are the same here. */
  readonly openApi: string;
  readonly shape: string;
  /** Tells whether a path, without query and still percent-encoded, is one of these. */
  matches(path: string): boolean;
}

/** Reads a path of the contract. Returns what is wrong with it instead when it cannot be served. */
export function parsePathTemplate(text: string): PathTemplate | string {
  if (!text.startsWith("/")) return "the path must begin with /";
  const segments = text.slice(1).split("/");
  const variables: string[] = [];
  const parameters: string[] = [];
  const pattern: string[] = [];
  const openApi: string[] = [];
  const matcher: string[] = [];
  for (const [index, segment] of segments.entries()) {
    const isLast = index === segments.length - 1;
    const { name, tail, literal, verb } = segmentPattern.exec(segment)?.groups ?? {};
    if (name === undefined && literal === undefined)
      return `the path has a segment that cannot be served: "${segment}"`;
    if (verb !== undefined && !isLast) return `only the last segment can have a verb: "${segment}"`;
    if (tail !== undefined && (!isLast || verb !== undefined)) return `nothing can follow "{${name}=**}"`;
    if (segment === "" && !isLast) return "the path has an empty segment";
    const suffix = verb === undefined ? "" : `:${verb}`;
    if (name === undefined) {
      pattern.push(segment.replace(":", "::"));
      openApi.push(segment);
      matcher.push(RegExp.escape(segment));
      continue;
    }
    if (variables.includes(name)) return `the path has the variable "${name}" twice`;
    const parameter = tail === undefined ? `p${variables.length}` : "*";
    variables.push(name);
    parameters.push(parameter);
    openApi.push(`{${name}}${suffix}`);
    // The router ends a name at `.` and takes `:cancel` for a part of the value, unless it is told what a value is.
    if (tail !== undefined) pattern.push("*");
    else pattern.push(verb === undefined ? `:${parameter}` : `:${parameter}(^.+?)::${verb}`);
    matcher.push(tail === undefined ? `[^/]+${RegExp.escape(suffix)}` : ".*");
  }
  const expression = new RegExp(`^/${matcher.join("/")}$`);
  return {
    text,
    variables,
    parameters,
    pattern: `/${pattern.join("/")}`,
    openApi: `/${openApi.join("/")}`,
    shape: `/${openApi.join("/")}`.replace(/\{[^}]*\}/g, "{}"),
    matches: (path) => expression.test(path),
  };
}

// Characters that mean nothing to the router, and stand for themselves in a URL.
const segmentPattern =
  /^(?:\{(?<name>[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*)(?<tail>=\*\*)?\}|(?<literal>[\w.~!$&',;=@-]*))(?::(?<verb>[\w-]+))?$/i;

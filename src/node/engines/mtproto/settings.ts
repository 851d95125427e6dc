/** A value of telemt's config. */
type Setting = string | number | bigint | boolean | Setting[] | Settings;

/** A table of telemt's config. */
export interface Settings {
  [key: string]: Setting;
}

/**
 * Reads the admin's settings, a JSON object of tables; no text is no settings. What `refused` makes of a reason is
 * thrown when telemt cannot have them.
 */
export function readSettings(text: string, refused: (reason: string) => Error): Settings {
  if (text === "") return {};
  let read: unknown;
  try {
    read = JSON.parse(text);
  } catch {
    throw refused("its settings are not JSON");
  }
  if (!isObject(read)) throw refused("its settings are not a JSON object");
  return tableOf(read, "settings", refused);
}

/** One table laid over another: where both have a value, that of `over`; tables are merged, lists are not. */
export function merge(under: Settings, over: Settings): Settings {
  const merged = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    merged[key] = isTable(value) && isTable(below) ? merge(below, value) : value;
  }
  return merged;
}

/** A table without these values, named by their paths; tables that are empty then are left out, too. */
export function without(table: Settings, paths: readonly (readonly string[])[]): Settings {
  const rest: Settings = {};
  for (const [key, value] of Object.entries(table)) {
    const inside = paths.filter(([first]) => first === key).map((path) => path.slice(1));
    if (inside.some((path) => path.length === 0)) continue;
    const left = isTable(value) && inside.length > 0 ? without(value, inside) : value;
    if (left !== value && isTable(left) && Object.keys(left).length === 0) continue;
    rest[key] = left;
  }
  return rest;
}

function tableOf(value: Record<string, unknown>, path: string, refused: (reason: string) => Error): Settings {
  const table: Settings = {};
  for (const [key, each] of Object.entries(value)) {
    // telemt reads a line that begins with it as the name of a file, wherever it stands.
    if (key === "include") throw refused(`${path}.include is not allowed`);
    // Another name for the table that is ours.
    if (path === "settings.server" && key === "admin_api") throw refused(`${path}.admin_api must be named api`);
    table[key] = settingOf(each, `${path}.${key}`, refused);
  }
  return table;
}

function settingOf(value: unknown, path: string, refused: (reason: string) => Error): Setting {
  if (typeof value === "string" || typeof value === "boolean" || typeof value === "number") return value;
  if (Array.isArray(value)) return value.map((each, index) => settingOf(each, `${path}[${index}]`, refused));
  if (isObject(value)) return tableOf(value, path, refused);
  throw refused(`${path} is null`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTable(value: Setting | undefined): value is Settings {
  return typeof value === "object" && !Array.isArray(value);
}

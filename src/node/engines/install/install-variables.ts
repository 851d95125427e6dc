import { baseUrl, executableFile, path } from "../../../platform/config/value-types.ts";
import { optional } from "../../../platform/config/variables.ts";
import { usualXrayPath } from "./locate.ts";
import { pinnedEngines } from "./pinned.ts";

/** The variables that say where engines are installed, and from where. */
export const installVariables = {
  GARRISON_CACHE_DIR: optional(path, {
    about: "Where `garrison engines install` puts programs, and where is kept what Node has compiled.",
    absent: "`garrison` in `XDG_CACHE_HOME` or `~/.cache`",
  }),
  GARRISON_XRAY_MIRROR: optional(baseUrl("https", "http"), {
    about:
      "Where release archives of Xray are: a directory with `<tag>/<archive>` in it, or one archive ending in `.zip`. " +
      "Whatever comes from there must have the SHA-256 that is pinned or given.",
    absent: pinnedEngines.xray.release?.mirror ?? "none",
  }),
  XRAY_EXECUTABLE_PATH: optional(executableFile, {
    about: "The Xray to run.",
    absent: `what \`garrison engines install xray\` has installed, else \`${usualXrayPath}\`, else from the \`PATH\``,
  }),
};

import { anyText, onOff, origins } from "../../platform/config/value-types.ts";
import { optional, SettingsRefused, type Values, type ValueType, variable } from "../../platform/config/variables.ts";
import {
  MalformedEnrolmentCode,
  PlainTextRefused,
  readEnrolmentCode,
  refusePlainText,
} from "../../platform/identity/enrolment-code.ts";

const enrolmentCode: ValueType<string> = anyText.describe("an enrolment code, as Core shows it");

/** The variables of a node that Core drives. */
export const agentVariables = {
  CORE_URL: optional(origins, {
    about: "Where Core is reached, best first. With it, or with an enrolment code, Core drives the engines.",
    absent: "what the enrolment code says; without either the node is driven by its own API",
  }),
  CORE_ENROLMENT_CODE: optional(enrolmentCode, {
    about:
      "Makes this server a node of Core, once. A node that is enrolled does not look at it, unless Core no longer " +
      "accepts its key.",
    absent: "the node is enrolled already, or not driven by Core",
    secret: true,
  }),
  CORE_INSECURE: variable(onOff, {
    about: "On: Core may be called over plain text on other machines. Whoever listens then has the node's key.",
    default: "off",
  }),
};

/** How a node finds Core. */
export interface AgentSettings {
  /** Empty: what the enrolment code, or the identity that is kept, says. */
  readonly urls: readonly string[];
  /** Undefined: the node has to be enrolled already. */
  readonly enrolment: EnrolmentSettings | undefined;
}

/** What a node enrols with. */
export interface EnrolmentSettings {
  /** Where Core is, best first. */
  readonly urls: readonly string[];
  readonly secret: string;
  /** SHA-256 of the certificate of Core's authority. Undefined: the machine's own authorities count. */
  readonly caSha256: string | undefined;
}

/**
 * How a node finds Core; undefined when the variables do not speak of it.
 *
 * @throws SettingsRefused
 */
export function agentSettings(values: Values<typeof agentVariables>): AgentSettings | undefined {
  const { CORE_URL: urls = [], CORE_ENROLMENT_CODE: code, CORE_INSECURE: insecure } = values;
  if (urls.length === 0 && code === undefined) return undefined;
  try {
    const read = code === undefined ? undefined : readEnrolmentCode(code);
    const enrolment = read && { ...read, urls: urls.length > 0 ? urls : read.urls };
    refusePlainText(enrolment?.urls ?? urls, insecure);
    return { urls, enrolment };
  } catch (error) {
    if (error instanceof MalformedEnrolmentCode)
      throw new SettingsRefused([`CORE_ENROLMENT_CODE cannot be used: ${error.message}`]);
    if (error instanceof PlainTextRefused) throw new SettingsRefused([`CORE_URL cannot be used: ${error.message}`]);
    throw error;
  }
}

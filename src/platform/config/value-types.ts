import { constants } from "node:fs";
import { isIP } from "node:net";
import { resolve } from "node:path";
import { z } from "zod";
import { isFile } from "../is-file.ts";
import type { ValueType } from "./variables.ts";

/** A decimal whole number. */
export function wholeNumber(min: number, max = Number.MAX_SAFE_INTEGER): ValueType<number> {
  const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
  return z
    .string()
    .regex(/^[+-]?\d+$/)
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .describe(`a whole number ${range}`);
}

/** A TCP port to listen on; 0 stands for one that is free. */
export const port: ValueType<number> = wholeNumber(0, 65_535);

/** On or off, in the usual spellings and any case. */
export const onOff: ValueType<boolean> = z
  .string()
  .toLowerCase()
  .pipe(z.enum(["on", "off", "true", "false", "1", "0", "yes", "no"]))
  .transform((word) => ["on", "true", "1", "yes"].includes(word))
  .describe("`on` or `off` (also true, false, 1, 0, yes, no)");

/** One of some words. */
export function oneOf<const Word extends string>(...words: readonly Word[]): ValueType<Word> {
  return z.enum(words).describe(`one of ${words.join(", ")}`);
}

/** Any text. */
export const anyText: ValueType<string> = z.string().describe("any text");

/** A version, such as `1.4.0`. */
export const version: ValueType<string> = z
  .string()
  .regex(/^\d{1,9}(\.\d{1,9}){2}$/)
  .describe("a version such as `1.4.0`");

/** Text that can stand in an HTTP header. */
export const token: ValueType<string> = z
  .string()
  .regex(/^[\x21-\x7e]+$/)
  .describe("visible ASCII characters without blanks");

/** An IP address, IPv6 also in brackets, which are taken off. */
export const address: ValueType<string> = z
  .string()
  .transform((text) => text.replace(/^\[(.*)\]$/, "$1"))
  .refine((text) => isIP(text) !== 0)
  .describe("an IPv4 or IPv6 address, not a name");

/** The path of a file or directory that need not exist; made absolute. */
export const path: ValueType<string> = z
  .string()
  // No shell expands it here, and a directory named `~` helps nobody.
  .refine((text) => !text.startsWith("~") && !text.includes("\0"))
  .transform((text) => resolve(text))
  .describe("a path; `~` is not expanded");

/** The path of a file that can be read; made absolute. */
export const readableFile: ValueType<string> = path
  .pipe(z.string().refine((file) => isFile(file, constants.R_OK)))
  .describe("the path of a file that can be read");

/** The path of a program that can be run; made absolute. */
export const executableFile: ValueType<string> = path
  .pipe(z.string().refine((file) => isFile(file, constants.X_OK)))
  .describe("the path of an executable file");

/** Origins of web pages, separated by commas: scheme and host, and the port unless it is the usual one. */
export const origins: ValueType<readonly string[]> = z
  .string()
  .transform((text, context) => {
    const parts = text.split(",").map((part) => part.trim());
    const parsed = parts.filter((part) => part !== "").map(originOf);
    if (!parsed.includes(undefined)) return parsed.filter((origin) => origin !== undefined);
    context.addIssue("not an origin");
    return z.NEVER;
  })
  .describe("origins such as `https://panel.example.org`, separated by commas");

/** A URL of one of some schemes, such as `https`. */
export function url(...schemes: readonly string[]): ValueType<string> {
  return z
    .string()
    .refine((text) => URL.canParse(text) && schemes.includes(new URL(text).protocol.slice(0, -1)))
    .describe(`a URL that begins with ${schemes.map((scheme) => `\`${scheme}://\``).join(" or ")}`);
}

/** A URL of one of some schemes that others begin with, so it has no query. Slashes at its end are taken off. */
export function baseUrl(...schemes: readonly string[]): ValueType<string> {
  const whole = url(...schemes);
  const isOpen = whole.refine((text) => !/[?#]/.test(text));
  return isOpen.transform((text) => text.replace(/\/+$/, "")).describe(`${whole.description}, without a query`);
}

function originOf(text: string): string | undefined {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
  const { origin, pathname, search, hash, username, password } = new URL(text);
  return pathname === "/" && `${search}${hash}${username}${password}` === "" ? origin : undefined;
}

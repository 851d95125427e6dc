/** A text without zero characters, which PostgreSQL does not keep. Programs have them in their last words. */
export function storableText(text: string): string {
  return text.replaceAll("\0", "");
}

/** The names of the columns that an update gives another value. */
export function changedColumns<Next extends object>(before: Next, next: Next): string[] {
  return Object.entries(next).flatMap(([name, value]) => (value === before[name as keyof Next] ? [] : [name]));
}

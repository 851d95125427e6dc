/** Adds a user in their place to users that are sorted by name, or replaces the one of the same name. */
export function putSorted<User>(users: User[], user: User, nameOf: (user: User) => string): void {
  const name = nameOf(user);
  const place = placeOf(users, name, nameOf);
  const there = users[place];
  users.splice(place, there !== undefined && nameOf(there) === name ? 1 : 0, user);
}

/** Removes a user from users that are sorted by name. False: there is none of this name. */
export function removeSorted<User>(users: User[], name: string, nameOf: (user: User) => string): boolean {
  const place = placeOf(users, name, nameOf);
  const there = users[place];
  if (there === undefined || nameOf(there) !== name) return false;
  users.splice(place, 1);
  return true;
}

/** Where a user stands, or would. */
function placeOf<User>(users: readonly User[], name: string, nameOf: (user: User) => string): number {
  let [from, to] = [0, users.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    const user = users[middle];
    if (user !== undefined && nameOf(user) < name) from = middle + 1;
    else to = middle;
  }
  return from;
}

/**
 * Resolves in a later turn of the event loop, when others had theirs. Of all who wait one goes on in each turn, in order:
 * ten who work in slices hold up the others no longer than one does.
 */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(goOn);
  });
}

const waiting: (() => void)[] = [];

function goOn(): void {
  const next = waiting.shift();
  if (waiting.length > 0) setImmediate(goOn);
  next?.();
}

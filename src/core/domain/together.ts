/**
 * Makes one question of all that are asked in the same turn of the event loop. Undefined is the answer where `findMany`
 * has none; what it throws, all of them get.
 */
export function together<K, V>(
  findMany: (keys: readonly K[]) => Promise<ReadonlyMap<K, V>>,
): (key: K) => Promise<V | undefined> {
  let asked: Questions<K, V> | undefined;

  async function find(questions: Questions<K, V>): Promise<void> {
    try {
      const answers = await findMany([...questions.keys()]);
      for (const [key, { resolve }] of questions) resolve(answers.get(key));
    } catch (error) {
      for (const { reject } of questions.values()) reject(error);
    }
  }

  function begin(): Questions<K, V> {
    const questions: Questions<K, V> = new Map();
    setImmediate(() => {
      asked = undefined;
      void find(questions);
    });
    return questions;
  }

  return (key) => {
    asked ??= begin();
    const question = asked.get(key) ?? Promise.withResolvers<V | undefined>();
    asked.set(key, question);
    return question.promise;
  };
}

type Questions<K, V> = Map<K, PromiseWithResolvers<V | undefined>>;

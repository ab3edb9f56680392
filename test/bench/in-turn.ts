/**
 * Runs every candidate `runs` times, each round beginning with another one, so that none always finds the machine as the same
 * other one left it. Gives the results by candidate, in the order of the rounds.
 */
export async function runInTurn<Candidate, Result>(
  candidates: readonly Candidate[],
  runs: number,
  run: (candidate: Candidate, round: number) => Promise<Result>,
): Promise<Map<Candidate, Result[]>> {
  const results = new Map<Candidate, Result[]>(candidates.map((candidate) => [candidate, []]));
  for (let round = 0; round < runs; round++) {
    const first = round % candidates.length;
    for (const candidate of [...candidates.slice(first), ...candidates.slice(0, first)])
      results.get(candidate)?.push(await run(candidate, round));
  }
  return results;
}

import fc from 'fast-check';
import { expect, it } from 'vitest';
import { FolderTurns } from '../../../shared/transfer/folder-turns.ts';

it('serves the folders in turns, and the requests of each in turns, when what is not done waits again', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 4 }), (requests) => {
      const turns = new FolderTurns<string>();
      for (const [folder, count] of requests.entries())
        for (let at = 0; at < count; at++) turns.push(`${folder}`, `${folder}/${at}`);
      const served = new Map<string, number>();
      const count = (name: string): number => served.get(name) ?? 0;
      for (let turn = 0; turn < 100; turn++) {
        const request = turns.shift() ?? '';
        const folder = request.split('/')[0] ?? '';
        for (const name of [request, folder]) served.set(name, count(name) + 1);
        turns.push(folder, request);
        const byFolder = requests.map((_, at) => count(`${at}`));
        expect(Math.max(...byFolder) - Math.min(...byFolder)).toBeLessThanOrEqual(1);
      }
      for (const [folder, many] of requests.entries()) {
        const each = Array.from({ length: many }, (_, at) => count(`${folder}/${at}`));
        expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(1);
      }
      expect(turns.clear()).toHaveLength(requests.reduce((sum, one) => sum + one, 0));
      expect(turns.shift()).toBe(undefined);
    }),
    { numRuns: 50 },
  );
});

import fs from 'node:fs';
import path from 'node:path';

/**
 * Returns when the file system of the directory gives later times than before: its clock may tick every few milliseconds
 * only. Leaves a file there.
 */
export function awaitFileClock(directory: string): void {
  const file = path.join(directory, 'tick');
  const time = () => {
    fs.writeFileSync(file, '');
    return fs.statSync(file, { bigint: true }).ctimeNs;
  };
  const before = time();
  while (time() === before);
}

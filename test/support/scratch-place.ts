import fs from 'node:fs';
import os from 'node:os';

const memory = '/dev/shm';
const roomBytes = 4 * 1024 ** 3;

/**
 * Where the tests make their directories: in memory where there is enough of it, because a disk with a journal takes
 * twenty times as long for the hundred thousands of directories that they make and remove. `disk`: where those make
 * them that say something about a disk; both are the same where memory is short.
 */
export function scratchPlace(): { directory: string; disk: string } {
  const usual = os.tmpdir();
  // os.tmpdir() itself is in memory on some systems
  const disk = [usual, '/var/tmp'].find((directory) => !isInMemory(directory)) ?? usual;
  return { directory: hasRoomInMemory() ? memory : usual, disk };
}

function isInMemory(directory: string): boolean {
  const tmpfs = 0x01021994;
  return !fs.existsSync(directory) || fs.statfsSync(directory).type === tmpfs;
}

function hasRoomInMemory(): boolean {
  try {
    fs.accessSync(memory, fs.constants.W_OK | fs.constants.X_OK);
    // Some tests run scripts of their own making.
    if (mountOptions(memory).includes('noexec')) return false;
    const { bavail, bsize } = fs.statfsSync(memory);
    return bavail * bsize >= roomBytes && process.availableMemory() >= 2 * roomBytes;
  } catch {
    return false;
  }
}

/** The options of what is mounted there; none where nothing is. */
function mountOptions(directory: string): string[] {
  const mounts = fs.readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const mount = mounts.map((line) => line.split(' ')).findLast(([, place]) => place === directory);
  if (mount === undefined) throw new Error(`nothing is mounted on ${directory}`);
  return mount[3]?.split(',') ?? [];
}

import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { until } from './until.ts';

/** Whether this machine lets a test run an automounter: it is for root, and containers often have no autofs. */
export const canAutomount =
  process.getuid?.() === 0 && fs.existsSync('/dev/autofs') && fs.existsSync('/usr/sbin/automount');

/**
 * A real automounter (autofs) with a map of one entry. `direct`: `point` itself is the place that mounts `served` when it
 * is entered; `indirect`: `point` is the directory above and `name` what is mounted in it. Files go to `work`.
 */
export async function startAutomounter(
  work: string,
  map: { kind: 'direct'; point: string } | { kind: 'indirect'; point: string; name: string },
  served: string,
) {
  const file = (name: string) => path.join(work, `automount.${name}`);
  const [key, at] = map.kind === 'direct' ? [map.point, '/-'] : [map.name, map.point];
  const place = map.kind === 'direct' ? map.point : path.join(map.point, map.name);
  fs.writeFileSync(file('map'), `${key} -fstype=bind :${served}\n`);
  fs.writeFileSync(file('master'), `${at} ${file('map')} --timeout=3600\n`);
  // In a session of its own: what belongs to the automounter's process group never makes it mount.
  const daemon = spawn('/usr/sbin/automount', ['-f', '-C', '-p', file('pid'), file('master')], {
    detached: true,
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => daemon.once('exit', resolve));
  const reach = async (what: string, reached: () => boolean) => {
    // The kernel tells nobody when a mount stands or goes.
    const probe = (): boolean => {
      if (daemon.exitCode !== null) throw new Error(`the automounter ended and did not ${what}`);
      return reached();
    };
    await until(`the automounter does ${what}`, probe, { everyMs: 10 });
  };
  await reach('start', () => mountTypes(map.point).includes('autofs'));
  return {
    /** Whether the place is mounted now; asking does not mount it. */
    isMounted: () => mountTypes(place).some((type) => type !== 'autofs'),
    /** Has the automounter take away what is not in use, as it does when nobody used it for long. */
    async expire() {
      await reach('expire', () => {
        if (!mountTypes(place).some((type) => type !== 'autofs')) return true;
        // It forgets the signal when it comes while the last one is being dealt with.
        daemon.kill('SIGUSR1');
        return false;
      });
    },
    async stop() {
      daemon.kill('SIGTERM');
      await ended;
      for (const point of [place, map.point]) {
        for (const _ of mountTypes(point)) execFileSync('umount', ['-l', point]);
      }
    },
  };
}

function mountTypes(mountPoint: string): string[] {
  return fs
    .readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.split(' ')[4] === mountPoint)
    .map((line) => line.split(' - ')[1]?.split(' ')[0] ?? '');
}

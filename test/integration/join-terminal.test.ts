import { createHash } from 'node:crypto';
import path from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { deviceIdFromBytes } from '../../shared/identity/device-id.ts';
import { formatInvitation } from '../../shared/link/invitation.ts';
import { Device, type Receiver } from '../support/device.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';
import { keys, TerminalSession } from '../support/terminal-session.ts';

const [first, second, restorer] = ['first', 'second', 'restorer'].map((name) =>
  deviceIdFromBytes(createHash('sha256').update(name).digest()),
);

it('asks whose data a restoring server may read where there are several agents, and only then', async () => {
  if (first === undefined || second === undefined || restorer === undefined) throw new Error('no IDs');
  const scratch = temporaryDirectory();
  const receiver: Receiver = new Device('receiver', path.join(scratch, 'home'));
  await receiver.must(['init', '--yes', '--data', path.join(scratch, 'data')]);
  const invitation = formatInvitation({
    inviter: 'restorer',
    deviceId: restorer,
    // nobody listens there: what is asked before is what counts
    addresses: ['127.0.0.1:1'],
    offer: { role: 'restore', agentId: null },
    secret: Buffer.alloc(16, 1),
    expiresAt: Date.now() + 60_000,
  });
  const answered = async (answer: string | null): Promise<{ text: string; code: number }> => {
    const session = new TerminalSession('receiver', ['--home', receiver.home, 'join', invitation]);
    onTestFinished(() => session.end());
    if (answer !== null) {
      await session.said(/Whose data may it read\?/);
      await session.said(/The beginning of the ID: /);
      session.type(`${answer}${keys.enter}`);
    }
    const code = await session.exited;
    return { text: session.text, code };
  };

  await receiver.must(['pair', first]);
  expect((await answered(null)).text).toContain('error LINK_UNREACHABLE');
  await receiver.must(['pair', second]);
  const good = await answered(second.slice(0, 7).toLowerCase());
  for (const words of [first, second, 'error LINK_UNREACHABLE']) expect(good.text).toContain(words);
  expect(await answered('ZZZZZZZ')).toMatchObject({
    text: expect.stringContaining('error DEVICE_UNKNOWN') as unknown,
    code: 2,
  });
  expect(await answered('')).toMatchObject({
    text: expect.stringContaining('error USAGE: there are several agents') as unknown,
    code: 2,
  });
  // nobody can answer: it is said how to name one
  const unasked = await receiver.run(['join', invitation]);
  expect(unasked.stderr).toMatch(/^error USAGE: .*\n {2}add --agent with one of /);
});

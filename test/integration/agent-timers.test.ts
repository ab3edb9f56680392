import fs from 'node:fs';
import path from 'node:path';
import { expect, it, vi } from 'vitest';
import { startAgent } from '../../agent/agent.ts';
import { createDeviceIdentity } from '../../shared/identity/device-identity.ts';
import { homeAt } from '../../shared/io/home.ts';
import { LogRecorder } from '../support/log-recorder.ts';
import { temporaryDirectory } from '../support/temporary-directory.ts';

const minuteMs = 60_000;

it('looks every minute whether a restore point is due, though there is nothing to dump', async () => {
  const scratch = temporaryDirectory();
  const [home, source] = ['home', 'media'].map((name) => path.join(scratch, name)) as [string, string];
  fs.mkdirSync(home);
  fs.mkdirSync(source);
  await createDeviceIdentity(home);
  fs.writeFileSync(path.join(source, 'picture'), 'a picture');
  const folders = [{ id: 'media', kind: 'mirror', path: source }];
  fs.writeFileSync(path.join(home, 'agent.yaml'), JSON.stringify({ listen: 'off', folders }));
  const logger = new LogRecorder();
  const made = (): number => logger.lines.filter(({ message }) => message === 'made a restore point').length;
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  try {
    const agent = await startAgent(homeAt(home, 'agent.yaml'), logger, { number: 1, reload: () => {} });
    expect(made()).toBe(0);
    await vi.advanceTimersByTimeAsync(minuteMs);
    await logger.line(({ message }) => message === 'made a restore point');
    await vi.advanceTimersByTimeAsync(minuteMs);
    await agent.stop();
    expect(made()).toBe(1);
  } finally {
    vi.useRealTimers();
  }
});

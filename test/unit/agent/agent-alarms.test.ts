import { expect, it } from 'vitest';
import { reviewAgentAlarms } from '../../../agent/agent-alarms.ts';
import { AlarmBoard } from '../../../shared/alarm-board.ts';
import type { DeviceId } from '../../../shared/identity/device-id.ts';
import { silentLogger } from '../../../shared/io/logger.ts';

type Review = Parameters<typeof reviewAgentAlarms>[0];

const receiver = 'GU77MKD-5E7SBZF-CEQDU57-IAKI47O-VFV4WZM-EFFAQGA-SSHTHTJ-HMCYJQM' as DeviceId;

it('says that a receiver serves another device in place of this one, until a link does not end so', () => {
  const alarms = new AlarmBoard({ logger: silentLogger, now: () => 0 });
  let refusal: { code: string; message: string } | null = null;
  const review = (): void =>
    reviewAgentAlarms({
      alarms,
      folders: { configured: () => [] } as unknown as Review['folders'],
      sealed: { status: () => [] } as unknown as Review['sealed'],
      sealing: {} as Review['sealing'],
      sessions: { linkRefusal: () => refusal } as unknown as Review['sessions'],
      receivers: () => [receiver],
      now: () => 0,
    });
  refusal = { code: 'SUCCEEDED', message: 'device X goes on with the data of this one here' };
  review();
  expect(alarms.list()).toMatchObject([
    { code: 'SUCCEEDED', message: 'receiver GU77MKD: device X goes on with the data of this one here' },
  ]);
  refusal = { code: 'PROTOCOL_VIOLATION', message: 'something else' };
  review();
  expect(alarms.list()).toEqual([]);
  refusal = { code: 'SUCCEEDED', message: 'again' };
  review();
  refusal = null;
  review();
  expect(alarms.list()).toEqual([]);
});

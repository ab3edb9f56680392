import { describe, expect, it } from 'vitest';
import { parseReceiverConfig, receiverConfigText } from '../../../receiver/config.ts';

describe('receiver.yaml', () => {
  it('means the same as a file that says only where the data is, when init wrote it', () => {
    const written = receiverConfigText({ data: '/srv/data', listen: [], advertise: [] });
    const least = parseReceiverConfig('data: /srv/data\n', 'receiver.yaml');
    expect(parseReceiverConfig(written, 'receiver.yaml')).toEqual(least);
    expect(least).toEqual({
      data: '/srv/data',
      listen: [],
      advertise: [],
      freeSpaceFloor: 0.05,
      versions: { keep: 6, minAgeMs: 7 * 86_400_000 },
      quotaBytes: null,
      sealedReserve: 0.1,
      quotas: new Map(),
    });
  });

  it('reads shares, sizes and quotas of single agents', () => {
    const config = parseReceiverConfig(
      'data: /d\nfreeSpaceFloor: 2.5%\nquota: 1 TB\nsealedReserve: 0\nagents:\n  ABC:\n    quota: 5 GiB\n  DEF:\n    quota: none\n',
      'receiver.yaml',
    );
    expect(config.freeSpaceFloor).toBe(0.025);
    expect(config.sealedReserve).toBe(0);
    expect(config.quotaBytes).toBe(1_000_000_000_000);
    expect(config.quotas).toEqual(
      new Map([
        ['ABC', 5 * 2 ** 30],
        ['DEF', null],
      ]),
    );
  });

  it.each([
    ['', 'data'],
    ['data: here\n', 'absolute'],
    ['data: /d\nfreeSpaceFloor: 80%\n', 'freeSpaceFloor'],
    ['data: /d\nsealedReserve: 60%\n', 'share of a quota'],
    ['data: /d\nversions:\n  keep: many\n', 'line 3'],
    ['data: /d\nquota: lots\n', 'line 2'],
    ['data: /d\nagents:\n  not-an-id!:\n    quota: none\n', 'not-an-id!'],
  ])('refuses %j', (text, message) => {
    expect(() => parseReceiverConfig(text, 'receiver.yaml')).toThrowError(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining(message) as unknown,
      }),
    );
  });
});

import { describe, expect, it } from 'vitest';
import { defaultPointRules } from '../../../receiver/retention/point-retention.ts';
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
      versions: { kind: 'points', floorDays: 7 },
      folderVersions: new Map(),
      points: defaultPointRules,
      quotaBytes: null,
      scrub: { periodMs: 30 * 86_400_000, bytesPerSecondMax: 10 * 1024 * 1024 },
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

  it('reads how long versions and restore points are kept, also for single folders', () => {
    const config = parseReceiverConfig(
      'data: /d\nversions: {kind: simple, keep: 2, cleanout: 30d, minAge: 3d}\npoints: {hourlyDays: 1}\n' +
        'agents:\n  ABC:\n    folders:\n      media: {versions: {kind: staggered, maxAge: never}}\n' +
        '      docs: {versions: {kind: trashcan}}\n',
      'receiver.yaml',
    );
    expect(config.versions).toEqual({ kind: 'simple', keep: 2, cleanoutDays: 30, floorDays: 3 });
    expect(config.points).toEqual({ ...defaultPointRules, hourlyDays: 1, floorDays: 3 });
    expect(config.quotas).toEqual(new Map());
    expect(config.folderVersions).toEqual(
      new Map([
        [
          'ABC',
          new Map([
            ['media', { kind: 'staggered', maxAgeDays: 0, floorDays: 7 }],
            ['docs', { kind: 'trashcan', cleanoutDays: 0, floorDays: 7 }],
          ]),
        ],
      ]),
    );
  });

  it.each([
    ['', 'data'],
    ['data: /d\nversions: {kind: all}\n', 'line 2'],
    ['data: /d\npoints: {newestComplete: 0}\n', 'line 2'],
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

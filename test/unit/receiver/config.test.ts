import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { defaultGuardRules, type GuardRules } from '../../../receiver/guard/guard-rules.ts';
import { shownGuards } from '../../../receiver/guard/guards-value.ts';
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
      guards: defaultGuardRules,
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

  it('shows what freezes expiry as it is written', () => {
    const share = fc.integer({ min: 1, max: 100 }).map((percent) => percent / 100);
    const amount = fc.nat(2 ** 40);
    const most = fc.option(fc.integer({ min: 1, max: 2 ** 40 }));
    const times = fc.integer({ min: 1, max: 1000 });
    const anyRules: fc.Arbitrary<GuardRules> = fc.record({
      windowMs: fc.integer({ min: 3600, max: 30 * 86_400 }).map((seconds) => seconds * 1000),
      changes: fc.option(fc.record({ share, files: amount, bytes: amount, filesMax: most, bytesMax: most })),
      shrinking: fc.option(fc.record({ share, bytes: amount })),
      surge: fc.option(fc.record({ times, dumps: times, bytes: amount })),
      recipients: fc.boolean(),
    });
    fc.assert(
      fc.property(anyRules, (rules) => {
        const text = JSON.stringify({ data: '/d', guards: shownGuards(rules) });
        expect(parseReceiverConfig(text, 'receiver.yaml').guards).toEqual(rules);
      }),
    );
  });

  it('reads what freezes expiry, each with its bounds, or off', () => {
    const { guards } = parseReceiverConfig(
      'data: /d\nguards:\n  window: 6h\n  changes: {share: 60%, files: 5, bytesMax: 2 GB}\n  dumpSize: off\n' +
        '  packs:\n  recipients: off\n',
      'receiver.yaml',
    );
    expect(guards).toEqual({
      windowMs: 6 * 3_600_000,
      changes: { share: 0.6, files: 5, bytes: 100 * 2 ** 20, filesMax: null, bytesMax: 2_000_000_000 },
      shrinking: null,
      surge: defaultGuardRules.surge,
      recipients: false,
    });
  });

  it.each([
    ['', 'data'],
    ['data: /d\nguards: {window: 10m}\n', 'from 1h to 30d'],
    ['data: /d\nguards: {window: 31d}\n', 'from 1h to 30d'],
    ['data: /d\nguards:\n  changes: {share: 0%}\n', 'share such as 25%'],
    ['data: /d\nguards:\n  changes: {share: 101%}\n', 'share such as 25%'],
    ['data: /d\nguards:\n  changes: {share: 0.25}\n', 'share such as 25%'],
    ['data: /d\nguards:\n  changes: {files: many}\n', 'number of files'],
    ['data: /d\nguards:\n  changes: {filesMax: 0}\n', 'line 3'],
    ['data: /d\nguards:\n  dumpSize: {bytes: large}\n', '"large" is not a size'],
    ['data: /d\nguards:\n  packs: {times: 0.5}\n', 'line 3'],
    ['data: /d\nguards:\n  recipients: maybe\n', 'on or off'],
    ['data: /d\nguards:\n  dumps: off\n', 'line 3'],
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

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  describeFolderSource,
  formatRecoverySheet,
  type RecoverySheet,
} from '../../../agent/recovery-sheet.ts';
import { parseDeviceId } from '../../../shared/identity/device-id.ts';

const deviceId = parseDeviceId('EWOYRV4-HLKOZZR-LVJS45J-SUMY6MK-R5NXDRK-47QLNBJ-X6NC3WN-BRKUDAF');

const sheet: RecoverySheet = {
  deviceId,
  addresses: ['social.example:2222'],
  folders: [
    { id: 'media', kind: 'mirror', source: '/home/mastodon/live/public/system' },
    { id: 'database', kind: 'sealed', source: 'a PostgreSQL database' },
  ],
  sealedTo: 'recipients',
  recipients: [
    {
      fingerprint: '818C033AB77DBBD46209AAD9CF264A6931ACD525',
      userIds: ['Admin <admin@example.org>'],
      expiresAt: '2027-01-01T00:00:00.000Z',
    },
  ],
  unusableKeys: [],
  receivers: [{ deviceId, addresses: [] }],
  madeAt: '2026-11-21T12:00:00.000Z',
};

describe('the recovery sheet', () => {
  it('holds IDs, addresses, folders, fingerprints, receivers and both ways to restore', () => {
    const text = formatRecoverySheet(sheet);
    for (const words of [
      'RECOVERY SHEET  2026-11-21',
      `device ID  ${deviceId}\n  addresses  social.example:2222\n`,
      '  media (mirror): /home/mastodon/live/public/system\n  database (sealed): a PostgreSQL database\n',
      '  818C 033A B77D BBD4 6209 AAD9 CF26 4A69 31AC D525\n    Admin <admin@example.org>\n    expires on 2027-01-01\n',
      `RECEIVERS\n  device ID  ${deviceId}\n  addresses  it dials the server\n`,
      'mastokeep-receiver invite --role restore',
      '--listen 0.0.0.0:2222 ',
      '--key private.asc',
      '--folder database',
      'RESTORE.txt',
    ]) {
      expect(text).toContain(words);
    }
  });

  it('names keys that cannot be used beside the good ones', () => {
    const text = formatRecoverySheet({ ...sheet, unusableKeys: ['/home/recipients/x.asc: it is garbage'] });
    expect(text).toContain('  818C 033A B77D BBD4 6209');
    expect(text).toMatch(/NOTHING IS SEALED UNTIL.*\n {4}\/home\/recipients\/x\.asc: it is garbage\n/);
    expect(text).toContain('--key private.asc');
  });

  it('asks for no private key where a passphrase seals, and says so where nothing is sealed yet', () => {
    const passphrase = formatRecoverySheet({ ...sheet, sealedTo: 'passphrase', recipients: [] });
    expect(passphrase).toContain('open with the passphrase. It is not on this sheet');
    expect(passphrase).not.toContain('--key');
    const none = formatRecoverySheet({ ...sheet, sealedTo: 'none', recipients: [] });
    expect(none).toContain('NOTHING IS SEALED');
  });

  it('is at most 80 columns wide and prints no control characters, whatever it holds', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 300, size: 'max' });
    fc.assert(
      fc.property(
        text,
        text,
        fc.stringMatching(/^([0-9A-F]{40}|[0-9A-F]{64})$/),
        (source, userId, fingerprint) => {
          const printed = formatRecoverySheet({
            ...sheet,
            addresses: [source],
            folders: [{ id: 'x', kind: 'sealed', source }],
            recipients: [{ fingerprint, userIds: [userId, '\u001B[2J\r\n'], expiresAt: null }],
            receivers: [{ deviceId, addresses: [source] }],
          });
          expect(printed.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
          for (const line of printed.split('\n')) expect(Array.from(line).length).toBeLessThanOrEqual(80);
        },
      ),
    );
  });

  it('names sources without what may be a password', () => {
    const folder = { id: 'x', kind: 'sealed', schedule: '40 * * * *' } as const;
    const connection = 'postgres://mastodon:s3cret@localhost/mastodon';
    expect(
      describeFolderSource({ ...folder, source: { postgres: { connection, exec: null } } }),
    ).not.toContain('s3cret');
    expect(describeFolderSource({ ...folder, source: { command: 'redis-cli -a s3cret' } })).not.toContain(
      's3cret',
    );
    expect(describeFolderSource({ ...folder, source: { paths: ['/etc', '/a b'], ignore: [] } })).toBe(
      '/etc, /a b',
    );
  });
});

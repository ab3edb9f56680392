import { describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { addFolderText, agentConfigText, parseAgentConfig } from '../../../agent/config.ts';
import { shownUpload } from '../../../agent/upload/upload-config.ts';
import { limits } from '../../../shared/protocol/limits.ts';
import { isCoded } from '../../../shared/errors/coded-error.ts';

const media = { id: 'media', kind: 'mirror' as const, path: '/srv/media', ignore: ['/cache/'] };

function problemsOf(text: string): unknown {
  try {
    parseAgentConfig(text, '/home/agent.yaml');
  } catch (error) {
    if (isCoded(error, 'CONFIG_INVALID')) return error.context['problems'];
    throw error;
  }
  return null;
}

describe('agent.yaml', () => {
  it('means the same as an empty file when init wrote it without options', () => {
    const written = agentConfigText({ listen: [], advertise: [], folders: [] });
    expect(parseAgentConfig(written, 'agent.yaml')).toEqual(parseAgentConfig('', 'agent.yaml'));
    expect(parseAgentConfig('', 'agent.yaml')).toEqual({
      listen: [{ host: '::', port: 22_390 }],
      advertise: [],
      scan: { fullEveryMs: 3_600_000, recentEveryMs: 60_000, entriesPerSecond: null },
      watch: { directoriesMax: 2048 },
      spool: { bytesMax: null },
      upload: { total: null, perReceiver: null, receivers: [], schedule: [] },
      folders: [],
    });
  });

  it('carries the options of init', () => {
    const text = agentConfigText({
      listen: [{ host: '127.0.0.1', port: 1 }],
      advertise: [{ host: 'example.org', port: 2 }],
      folders: [media],
    });
    expect(parseAgentConfig(text, 'agent.yaml')).toMatchObject({
      listen: [{ host: '127.0.0.1', port: 1 }],
      advertise: [{ host: 'example.org', port: 2 }],
      folders: [media],
    });
  });

  it('has upload limits by hours of the day, and shows them as they are written', () => {
    const text = [
      'upload:',
      '  total: 2000',
      '  receivers: {GU77MKD: 300, 4NBDFHU: off}',
      '  schedule:',
      '    - {from: 08:00, to: 23:00, total: 500, perReceiver: off}',
      '    - {from: 23:30, to: 06:00, receivers: {gu77mkd: 100}}',
      '    - {from: 06:00, to: 08:00, total: off}',
      '',
    ].join('\n');
    const { upload } = parseAgentConfig(text, 'agent.yaml');
    expect(upload).toMatchObject({ total: 2000, perReceiver: null });
    expect(upload.schedule.map(({ from, to, total }) => [from, to, total])).toEqual([
      [480, 1380, 500],
      [1410, 360, undefined],
      [360, 480, null],
    ]);
    const shown = stringify({ upload: shownUpload(upload) });
    expect(parseAgentConfig(shown, 'agent.yaml').upload).toEqual(upload);
  });

  it('keeps comments and everything else when a folder is added', () => {
    const before =
      '# mine\nlisten: off # not here\nfolders:\n  # the first\n  - id: a\n    kind: mirror\n    path: /a\n';
    const after = addFolderText(before, 'agent.yaml', media);
    expect(after.startsWith(before)).toBe(true);
    expect(parseAgentConfig(after, 'agent.yaml').folders).toEqual([
      { id: 'a', kind: 'mirror', path: '/a', ignore: [] },
      media,
    ]);
  });

  it('adds a folder to a file that has no list of them', () => {
    expect(
      parseAgentConfig(addFolderText('listen: off\n', 'agent.yaml', media), 'agent.yaml').folders,
    ).toEqual([media]);
    expect(parseAgentConfig(addFolderText('folders:\n', 'agent.yaml', media), 'agent.yaml').folders).toEqual([
      media,
    ]);
  });

  it('refuses a second folder with the same id', () => {
    const text = agentConfigText({ listen: [], advertise: [], folders: [media] });
    expect(() => addFolderText(text, 'agent.yaml', media)).toThrowError(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
    expect(
      problemsOf('folders:\n  - {id: a, kind: mirror, path: /a}\n  - {id: a, kind: mirror, path: /b}\n'),
    ).toEqual([{ line: 3, message: expect.stringContaining('"a" is used twice') as unknown }]);
  });

  it('takes as many folders as a peer takes and no more, and says so', () => {
    const folders = Array.from({ length: limits.foldersMax }, (_, at) => ({ ...media, id: `f${at}` }));
    const full = agentConfigText({ listen: [], advertise: [], folders });
    expect(parseAgentConfig(full, 'agent.yaml').folders).toHaveLength(limits.foldersMax);
    expect(() => addFolderText(full, 'agent.yaml', media)).toThrowError(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: 'an agent has at most 64 folders' }),
    );
    expect(problemsOf(`${full}  - {id: one-more, kind: mirror, path: /a}\n`)).toEqual([
      { line: expect.any(Number) as unknown, message: 'folders: an agent has at most 64 folders' },
    ]);
  });

  it.each([
    ['listn: off\n', 1, 'there is no option "listn"'],
    ['# c\nscan:\n  fullEvery: often\n', 3, 'scan.fullEvery: "often" is not a duration'],
    ['watch:\n  directoriesMax: -1\n', 2, 'watch.directoriesMax'],
    ['\nfolders:\n  - id: UPPER\n    kind: mirror\n    path: /a\n', 3, 'folders.0.id'],
    ['folders:\n  - id: a\n    kind: mirror\n    path: relative\n', 4, 'must be an absolute path'],
    ['folders:\n  - id: a\n    kind: other\n', 3, 'must be mirror or sealed'],
    ['folders:\n  - id: a\n    kind: sealed\n', 2, 'a sealed folder needs a source'],
    [
      'folders:\n  - id: a\n    kind: sealed\n    source: {command: x}\n    schedule: often\n',
      5,
      'is not a cron expression',
    ],
    ['folders:\n  - id: a\n    kind: mirror\n    path: /a\n    ignored: [x]\n', 5, 'folders.0.ignored'],
    ['listen: "nonsense:port"\n', 1, 'listen.0'],
    ['scan:\n  entriesPerSecond: fast\n', 2, 'a number of files and directories, 10 or more, or off'],
    ['upload:\n  total: 2 MiB\n', 2, 'upload.total: must be a number of KiB/s, 8 or more, or off'],
    ['upload:\n  perReceiver: 7\n', 2, '8 or more, or off'],
    ['upload:\n  totl: 9\n', 2, 'there is no option "upload.totl"'],
    ['upload:\n  receivers:\n    "no id!": 9\n', 3, 'upload.receivers.no id!'],
    ['upload:\n  schedule:\n    - {from: 8, to: 9:00, total: 9}\n', 3, 'a time of day such as 08:00'],
    ['upload:\n  schedule:\n    - {from: 25:00, to: 9:00, total: 9}\n', 3, 'a time of day such as 08:00'],
    ['upload:\n  schedule:\n    - {from: 8:00, to: 9:00}\n', 3, 'sets nothing'],
    ['upload:\n  schedule:\n    - {from: 0:00, to: 24:00, total: 9}\n', 3, 'covers the whole day'],
    [
      'upload:\n  schedule:\n    - {from: 8:00, to: 23:00, total: 9}\n    - {from: 22:30, to: 3:00, total: off}\n',
      4,
      'upload.schedule.1: 22:30-03:00 overlaps with 08:00-23:00',
    ],
    ['a: [1\n', 2, ''],
    ['listen: off\nlisten: off\n', 2, 'unique'],
  ])('names the line of what is wrong in %j', (text, line, message) => {
    expect(problemsOf(text)).toContainEqual({ line, message: expect.stringContaining(message) as unknown });
  });

  it('says all that is wrong, the first in the message and the rest in the hint', () => {
    const text = 'listn: off\nscan:\n  fullEvery: often\n';
    try {
      parseAgentConfig(text, '/etc/agent.yaml');
      expect.unreachable();
    } catch (error) {
      if (!isCoded(error, 'CONFIG_INVALID')) throw error;
      const all = `${error.message}\n${error.hint}`;
      expect(all).toContain('agent.yaml line 1:');
      expect(all).toContain('agent.yaml line 3:');
      expect(error.exitCode).toBe(2);
    }
  });
});

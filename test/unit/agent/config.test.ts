import { describe, expect, it } from 'vitest';
import { addFolderText, agentConfigText, parseAgentConfig } from '../../../agent/config.ts';
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
      scan: { fullEveryMs: 3_600_000, recentEveryMs: 60_000 },
      watch: { directoriesMax: 2048 },
      spool: { bytesMax: null },
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

import { expect, it } from 'vitest';
import { parseFolderId } from '../../shared/records/folder-id.ts';

it.each(['media', '0', 'a.b_c-d', 'points2', 'agent.pem.old', 'x'.repeat(64)])('takes %s', (id) => {
  expect(parseFolderId(id)).toBe(id);
});

it.each(['', '.', '..', 'Media', 'a/b', '-a', 'ä', 'x'.repeat(65), 'points', 'agent.pem', 'succession.json'])(
  'refuses "%s"',
  (id) => {
    expect(() => parseFolderId(id)).toThrow(expect.objectContaining({ code: 'FOLDER_UNKNOWN' }));
  },
);

import fs from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { startTimeStamper } from '../../../agent/restore/exact-times.ts';
import { FolderWriter } from '../../../agent/restore/folder-writer.ts';
import type { PlannedFile } from '../../../agent/restore/restore-plan.ts';
import { TargetTree } from '../../../agent/restore/target-tree.ts';
import { WriteBack } from '../../../agent/restore/write-back.ts';
import type { RelativePath } from '../../../shared/records/relative-path.ts';
import { sha256 } from '../../support/store-fixture.ts';
import { temporaryDirectory } from '../../support/temporary-directory.ts';

const mib = 1024 * 1024;
const content = Buffer.alloc(33 * mib, 'x');
const planned = (name: string): PlannedFile => ({
  path: name as RelativePath,
  state: {
    kind: 'file',
    size: content.length,
    mtimeNs: 0n,
    mode: 0o600,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    hash: sha256(content),
  },
});

it.each([
  ['EIO', 'DISK_FAILED'],
  ['ENOSPC', 'TARGET_FULL'],
])(
  'leaves nothing of a file that the disk did not take (%s), and names none behind it: %s',
  async (errno, code) => {
    const root = path.join(temporaryDirectory(), 'target');
    fs.mkdirSync(root);
    const tree = new TargetTree({ root, rootMade: true, keepOwners: false, inPlace: false, directories: [] });
    const stamper = await startTimeStamper(root);
    const answers: (() => void)[] = [];
    const writeBack = new WriteBack(
      async () =>
        new Promise((_, reject) => {
          answers.push(() => reject(Object.assign(new Error(errno), { code: errno })));
        }),
    );
    const named: string[] = [];
    const writer = new FolderWriter(
      { tree, stamper, writeBack },
      { inPlace: false },
      { onWritten: (name) => named.push(name), onFailed: ({ path: name }) => named.push(`${name} failed`) },
    );
    const [lost, other] = [planned('lost'), planned('other')];
    const first = writer.openPartial(lost);
    await first.write(0, content);
    const second = writer.openPartial(other);
    await second.write(0, content);
    expect(fs.readdirSync(root)).toHaveLength(2);
    // closed before the disk has answered, as one of many open files
    first.close();
    const taken = writer.assertTaken();
    answers[0]?.();
    await expect(taken).rejects.toMatchObject({ code });
    expect(fs.readdirSync(root)).toHaveLength(1);
    await expect(writer.finishPartial(other, second)).rejects.toMatchObject({ code });
    await writer.flush();
    expect(named).toEqual([]);
    tree.close();
    stamper.stop();
  },
);

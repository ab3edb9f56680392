import fs from 'node:fs';
import path from 'node:path';
import { partition, snowflake } from '../support/mastodon-tree.ts';

const [firstAtMs, stepMs] = [1_600_000_000_000, 977];

/**
 * Makes so many small files as Mastodon names attachments: two files each, in five directories that no other has. Every
 * content is another one, of about a hundred bytes.
 */
export function makeRecordTree(root: string, files: number): { files: number; directories: number } {
  let directories = 0;
  let made = 0;
  let above: string[] = [];
  const enter = (parts: readonly string[]): string => {
    let depth = 0;
    while (depth < parts.length && parts[depth] === above[depth]) depth += 1;
    for (; depth < parts.length; depth += 1) {
      fs.mkdirSync(path.join(root, ...parts.slice(0, depth + 1)), { recursive: depth < 2 });
      directories += 1;
    }
    above = [...parts];
    return path.join(root, ...parts);
  };
  fs.mkdirSync(root, { recursive: true });
  for (let attachment = 0; made < files; attachment += 1) {
    const id = snowflake(firstAtMs + attachment * stepMs, attachment % 65_536);
    const parts = ['media_attachments', 'files', ...partition(id).split('/')];
    for (const style of ['original', 'small']) {
      if (made === files) break;
      const file = `${enter([...parts, style])}/0123456789abcdef.png`;
      fs.writeFileSync(file, file);
      made += 1;
    }
  }
  return { files: made, directories };
}

/** What progress says at one moment; `totalBytes` may still grow. */
export type Progress = { doneFiles: number; totalFiles: number; doneBytes: number; totalBytes: number };

const barWidth = 30;
const plainLineEveryMs = 1000;

/**
 * Writes the walk-through: numbered steps, commands as one would type them, results. On a terminal progress is one
 * line that is written over; elsewhere it is a line now and then, without colour.
 */
export class Narrator {
  readonly #out: NodeJS.WriteStream;
  readonly #colour: boolean;
  readonly #startedAt = performance.now();
  #step = 0;
  #barShown = false;
  #plainLineAt = 0;

  constructor(out: NodeJS.WriteStream = process.stdout) {
    this.#out = out;
    this.#colour = out.isTTY && process.env['NO_COLOR'] === undefined;
  }

  title(text: string): void {
    this.#line(`\n${this.#paint('1', text)}`);
  }

  step(text: string): void {
    this.#line(`\n${this.#paint('1;36', `${++this.#step}. ${text}`)}`);
  }

  say(text: string): void {
    for (const line of text.split('\n')) this.#line(`   ${line}`);
  }

  /** A command as a person would type it. */
  command(text: string): void {
    this.#line(`   ${this.#paint('2', '$')} ${this.#paint('33', text)}`);
  }

  /** What a command printed. */
  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) this.#line(`   ${this.#paint('2', '|')} ${line}`);
  }

  good(text: string): void {
    this.#line(`   ${this.#paint('32', 'ok')} ${text}`);
  }

  bad(text: string): void {
    this.#line(`   ${this.#paint('31', 'NOT OK')} ${text}`);
  }

  progress({ doneFiles, totalFiles, doneBytes, totalBytes }: Progress): void {
    const share = totalBytes === 0 ? 0 : Math.min(doneBytes / totalBytes, 1);
    const bar = '#'.repeat(Math.round(share * barWidth)).padEnd(barWidth, '.');
    const percent = `${Math.floor(share * 100)} %`.padStart(5);
    const text = `[${bar}] ${percent}  ${doneFiles}/${totalFiles} files  ${formatBytes(doneBytes)}/${formatBytes(totalBytes)}`;
    if (this.#out.isTTY) {
      this.#out.write(`\r   ${text}\u001B[K`);
      this.#barShown = true;
    } else if (performance.now() > this.#plainLineAt) {
      this.#line(`   ${text}`);
      this.#plainLineAt = performance.now() + plainLineEveryMs;
    }
  }

  get seconds(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  #line(text: string): void {
    if (this.#barShown) this.#out.write('\n');
    this.#barShown = false;
    this.#out.write(`${text}\n`);
  }

  #paint(code: string, text: string): string {
    return this.#colour ? `\u001B[${code}m${text}\u001B[0m` : text;
  }
}

/** `1.4 MB`: decimal units, as disks are sold. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

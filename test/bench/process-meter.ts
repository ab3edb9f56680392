import fs from 'node:fs';

/** The kernel's unit of CPU time in /proc, on every architecture. */
const ticksPerSecond = 100;

/** What a process that goes on running took since `begin`; children count once they have ended. */
export class ProcessMeter {
  readonly #pid: number;
  #cpuMs = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.begin();
  }

  /** The memory that it has now is the peak from now on. @see proc(5), clear_refs */
  begin(): void {
    fs.writeFileSync(`/proc/${this.#pid}/clear_refs`, '5');
    this.#cpuMs = this.#readCpuMs();
  }

  read(): { cpuMs: number; peakBytes: number } {
    const status = fs.readFileSync(`/proc/${this.#pid}/status`, 'latin1');
    const peak = /^VmHWM:\s+(\d+) kB/m.exec(status)?.[1];
    if (peak === undefined) throw new Error(`process ${this.#pid} has ended`);
    return { cpuMs: this.#readCpuMs() - this.#cpuMs, peakBytes: Number(peak) * 1024 };
  }

  #readCpuMs(): number {
    const stat = fs.readFileSync(`/proc/${this.#pid}/stat`, 'latin1');
    // The name in parentheses may hold anything; utime, stime, cutime and cstime are fields 14 to 17.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
    return (ticks * 1000) / ticksPerSecond;
  }
}

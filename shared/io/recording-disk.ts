import type { Disk, DiskPath } from './disk.ts';

/** One call that changes a disk or makes a change last, in the order of completion. `handle`: an open file. */
export type DiskOperation =
  | { call: 'open'; handle: number; path: DiskPath; created: boolean }
  | { call: 'write'; handle: number; bytes: Buffer; position: number | null }
  | { call: 'truncate'; handle: number; size: number }
  | { call: 'syncData'; handle: number; failed: boolean }
  | { call: 'syncDirectory' | 'unlink' | 'mkdir' | 'rmdir'; path: DiskPath }
  | { call: 'link' | 'rename'; from: DiskPath; to: DiskPath };

/**
 * A Disk that records what is done on another one, so that a test can rebuild what a power cut at any moment of it
 * could have left: a kill alone keeps what the system still has in memory and proves no sync.
 */
export class RecordingDisk implements Disk {
  readonly trace: DiskOperation[] = [];
  readonly #disk: Disk;
  readonly #handles = new Map<number, number>();
  #opened = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  open(path: DiskPath, how: 'read' | 'append' | 'create' | 'update'): number {
    const fd = this.#disk.open(path, how);
    this.#opened += 1;
    this.#handles.set(fd, this.#opened);
    this.trace.push({ call: 'open', handle: this.#opened, path, created: how === 'create' });
    return fd;
  }

  close(fd: number): void {
    this.#disk.close(fd);
  }

  read(fd: number, target: Uint8Array, position: number): number {
    return this.#disk.read(fd, target, position);
  }

  async readLater(fd: number, target: Uint8Array, position: number): Promise<number> {
    return this.#disk.readLater(fd, target, position);
  }

  write(fd: number, bytes: Uint8Array, position: number | null): void {
    this.#disk.write(fd, bytes, position);
    this.trace.push({ call: 'write', handle: this.#handle(fd), bytes: Buffer.from(bytes), position });
  }

  truncate(fd: number, size: number): void {
    this.#disk.truncate(fd, size);
    this.trace.push({ call: 'truncate', handle: this.#handle(fd), size });
  }

  setModified(fd: number, mtimeNs: bigint): void {
    this.#disk.setModified(fd, mtimeNs);
  }

  async syncData(fd: number): Promise<void> {
    const handle = this.#handle(fd);
    try {
      await this.#disk.syncData(fd);
    } catch (error) {
      this.trace.push({ call: 'syncData', handle, failed: true });
      throw error;
    }
    this.trace.push({ call: 'syncData', handle, failed: false });
  }

  async syncDirectory(path: DiskPath): Promise<void> {
    await this.#disk.syncDirectory(path);
    this.trace.push({ call: 'syncDirectory', path });
  }

  link(from: DiskPath, to: DiskPath): void {
    this.#disk.link(from, to);
    this.trace.push({ call: 'link', from, to });
  }

  rename(from: DiskPath, to: DiskPath): void {
    this.#disk.rename(from, to);
    this.trace.push({ call: 'rename', from, to });
  }

  unlink(path: DiskPath): void {
    this.#disk.unlink(path);
    this.trace.push({ call: 'unlink', path });
  }

  mkdir(path: DiskPath): void {
    this.#disk.mkdir(path);
    this.trace.push({ call: 'mkdir', path });
  }

  rmdir(path: DiskPath): void {
    this.#disk.rmdir(path);
    this.trace.push({ call: 'rmdir', path });
  }

  list(path: DiskPath): string[] {
    return this.#disk.list(path);
  }

  stat(path: DiskPath): ReturnType<Disk['stat']> {
    return this.#disk.stat(path);
  }

  space(path: DiskPath): ReturnType<Disk['space']> {
    return this.#disk.space(path);
  }

  #handle(fd: number): number {
    return this.#handles.get(fd) ?? 0;
  }
}

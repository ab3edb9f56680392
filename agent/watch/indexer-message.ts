import type { ErrorCode } from '../../shared/errors/error-table.ts';
import type { FolderCondition, IndexedFolder, IndexerOptions } from './indexer-options.ts';
import type { ScanReport } from './full-scan.ts';

/** What the indexing thread begins with. */
export type IndexerWorkerData = { databaseFile: string; options: IndexerOptions };

/** What can be asked of the indexing thread. Paths are byte strings, hashes and tokens stay on the asking side. */
export type IndexerCommand =
  | { type: 'addFolder'; folder: IndexedFolder }
  | { type: 'removeFolder'; folderId: string; forget: boolean }
  | { type: 'scan'; folderId: string }
  | { type: 'accept'; folderId: string }
  | { type: 'pause' }
  | { type: 'resume' }
  | { type: 'markDirty'; folderId: string; path: string }
  | { type: 'renewIndex'; folderId: string; reason: string }
  | { type: 'acknowledge'; folderId: string; receiverId: string; sequence: number; indexId: Uint8Array }
  | { type: 'forgetReceiver'; receiverId: string }
  | { type: 'stop' };

/** A scan is answered with its report, `accept` with whether there was anything to accept, all else with null. */
export type IndexerAnswer = ScanReport | { accepted: boolean } | null;

/** `id` is echoed in the reply; null asks for none. */
export type IndexerRequest = { id: number | null; command: IndexerCommand };

export type IndexerError = { code: ErrorCode; message: string; hint: string | null };

export type IndexerEvent =
  | { type: 'ready' }
  | { type: 'unusable'; error: IndexerError }
  | { type: 'reply'; id: number; answer: IndexerAnswer }
  | { type: 'failure'; id: number; error: IndexerError }
  | { type: 'changed'; folderId: string }
  | { type: 'condition'; folderId: string; condition: FolderCondition }
  | {
      type: 'log';
      level: 'debug' | 'info' | 'warn' | 'error';
      fields: Record<string, unknown>;
      message: string;
    };

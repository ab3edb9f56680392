/** How far the re-reading of what is stored is; times ISO 8601. */
export type ScrubStatus = {
  /** Since then everything has been read; null before the first whole pass. */
  coveredAt: string | null;
  /** Stored files that are damaged now, and why there is no room to make them whole (null: that is not the reason). */
  damaged: number;
  lacksRoom: string | null;
  /** Of the pass under way, or of the last one (`done`): how much of how much was read, what was found and made whole. */
  startedAt: string;
  done: boolean;
  readBytes: number;
  wholeBytes: number;
  found: number;
  repaired: number;
};

/** What a whole pass came to. */
export type ScrubReport = Pick<ScrubStatus, 'startedAt' | 'readBytes' | 'found' | 'repaired' | 'damaged'> & {
  /** Something could not be read: see the alarms, and the log. */
  skipped: boolean;
  /** Of each folder with damaged files, with what was found damaged (whole again or not), or with files that nobody stored: the first of them. */
  folders: {
    name: string;
    damaged: number;
    /** Why there is no room to make them whole; null where that is not the reason. */
    lacksRoom: string | null;
    files: readonly string[];
    /** Since the program started. */
    found: readonly string[];
    extras: readonly string[];
  }[];
};

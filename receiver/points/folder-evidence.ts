import type { RelativePath } from '../../shared/records/relative-path.ts';
import type { PointRecord } from '../../shared/sealing/point-record.ts';

/** What a point says of one folder. */
export type PointPart = PointRecord['folders'][number];

/**
 * What a store can prove of a point's part. `incomplete`: it is proved that so many files (of a sealed folder: the version)
 * are not all here; `paths`: the first of the files, in byte order. `unknown`: neither the one nor the other can be
 * proved. `bytes`: what a restore of the part brings back, of a sealed folder what it reads; null where that is not counted (yet).
 */
export type PartProof = { bytes: number | null } & (
  | { state: 'complete' }
  | { state: 'incomplete'; files: number; paths: readonly RelativePath[] }
  | { state: 'unknown' }
);

/**
 * What kept points need of one folder. `parts`: one of each point that names the folder, another array once a point came, also
 * while something expires; `longestMs`: the longest that the
 * rules keep a point without a pin. `newestComplete`, `floorDays`: so many versions of a sealed folder stay in any case, and
 * what is younger.
 */
export type KeptHistory = {
  readonly parts: readonly PointPart[];
  longestMs: number;
  newestComplete: number;
  floorDays: number;
};

/** What goes, or went, with forgotten points: of a sealed folder `bytes` are those of packs and records. */
export type ForgottenHistory = { versions: number; bytes: number };

/** A folder's store as far as points ask it. Costs a look-up for each file that is lacking, never a walk over the folder. */
export type FolderEvidence = { provePart(part: PointPart): PartProof };

/** Of a whole point. `incompleteFiles`: 0 when complete; null when something is not known. */
export type PointProof = {
  complete: boolean;
  incompleteFiles: number | null;
  parts: { part: PointPart; proof: PartProof }[];
};

/** `evidenceOf`: the store of a folder, null when nothing is held of it. */
export function provePoint(
  { folders }: Pick<PointRecord, 'folders'>,
  evidenceOf: (folder: string) => FolderEvidence | null,
): PointProof {
  const parts = folders.map((part) => {
    const proof: PartProof = evidenceOf(part.id)?.provePart(part) ?? { state: 'unknown', bytes: null };
    return { part, proof };
  });
  let incompleteFiles: number | null = 0;
  for (const { proof } of parts) {
    if (proof.state === 'unknown') incompleteFiles = null;
    else if (proof.state === 'incomplete' && incompleteFiles !== null) incompleteFiles += proof.files;
  }
  return { complete: incompleteFiles === 0, incompleteFiles, parts };
}

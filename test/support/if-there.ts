/** What `look` gives; null where what it looks at has gone meanwhile, for directories that a program works on. */
export function ifThere<T>(look: () => T): T | null {
  try {
    return look();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR'))
      return null;
    throw error;
  }
}

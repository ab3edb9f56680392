/** The module that a thread begins with, beside the module at `importUrl`: a source in a checkout, compiled when published. */
export function workerEntry(name: string, importUrl: string): URL {
  return new URL(`./${name}${importUrl.endsWith('.ts') ? '.ts' : '.js'}`, importUrl);
}

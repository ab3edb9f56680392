/** For commander: an option that may be given several times, its values in order. */
export function collectOption(value: string, previous: readonly string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

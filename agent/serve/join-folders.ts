import type { ServedFolders } from './served-feed.ts';

/** All folders of several parts as one. */
export function joinFolders(parts: readonly ServedFolders[]): ServedFolders {
  return {
    list: () => parts.flatMap((part) => part.list()),
    onChange(listener) {
      const stops = parts.map((part) => part.onChange(listener));
      return () => {
        for (const stop of stops) stop();
      };
    },
  };
}

import { afterAll } from 'vitest';
import { removeTemporaryDirectories } from './temporary-directory.ts';

// vitest ends its workers with SIGTERM, so their exit handlers do not run.
afterAll(removeTemporaryDirectories);

import { createRequire } from 'node:module';
import type * as Yaml from 'yaml';

const require = createRequire(import.meta.url);

/** The package `yaml`, loaded at the first call: most commands ask the running program, and read no file of YAML. */
export function yamlLibrary(): typeof Yaml {
  return require('yaml') as typeof Yaml;
}

